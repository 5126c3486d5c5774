"""The call as native code: arguments in, results out, without Python."""
