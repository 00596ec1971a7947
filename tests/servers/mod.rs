//! The tests' own tools tested: the S3 servers and the fault proxy.

mod s3;
