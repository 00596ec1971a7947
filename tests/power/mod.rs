//! The power is cut, the space runs out, or a disk falls off: on simulated disks after every single operation, and on real ones
//! at random moments.

mod cuts;
mod images;
mod space;
mod unmounted;
