#!/bin/sh
# The compiler of the workspace's own crates for coverage.py, as RUSTC_WORKSPACE_WRAPPER: cargo passes it rustc and its arguments.
exec "$@" -C instrument-coverage
