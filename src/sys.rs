//! What the standard library cannot ask the kernel for. The only module with `unsafe`.
