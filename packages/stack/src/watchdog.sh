#!/bin/sh
# Ends one process when whoever started it is gone. Its starter holds the other end of stdin: the kernel closes it even
# when the starter is killed with SIGKILL, so that no process stays behind.
# usage: watchdog.sh SIGNAL GRACE_SECONDS   stdin: one line, the process id; then nothing until it closes
signal=$1
grace=$2
read -r pid || exit 0
while read -r _; do :; done
kill -s "$signal" "$pid" 2>/dev/null || exit 0
tenths=$((grace * 10))
while [ "$tenths" -gt 0 ]; do
  kill -0 "$pid" 2>/dev/null || exit 0
  sleep 0.1
  tenths=$((tenths - 1))
done
# The process leads a group of its own: what it started goes with it.
kill -s KILL -- "-$pid" 2>/dev/null
