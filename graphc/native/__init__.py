"""Machine code for whole programs, by way of LLVM. Needs llvmlite, which the extra `native` installs."""
