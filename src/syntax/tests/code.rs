//! Code
