"""Writing machine code: elements as LLVM IR, functions of the kernels' kind, compilation, and what is kept on disk."""
