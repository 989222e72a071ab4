//! Agreement with bfcl-eval over recorded outputs.
