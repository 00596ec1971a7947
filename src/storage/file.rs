//! Replicas in a directory.
