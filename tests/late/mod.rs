//! Uploads whose answer never came, and what arrives of them later.

mod cases;
mod gaps;
mod histories;
