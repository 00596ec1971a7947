//! What the tree must look like.
