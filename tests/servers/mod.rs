//! The tests' own tools tested: the S3 servers and the fault proxy.

mod litestream;
mod proxy;
mod s3;
