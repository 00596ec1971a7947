//! The program from outside.

mod ltx;
