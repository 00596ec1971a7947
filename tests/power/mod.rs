//! The power is cut, or the space runs out: on simulated disks after every single operation, and on real ones
//! at random moments.

mod cuts;
mod images;
mod space;
