//! The tests' own tools tested: the servers of S3 and SFTP, and the fault proxy.

mod litestream;
mod proxy;
mod s3;
mod sftp;
