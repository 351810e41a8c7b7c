#!/bin/sh
# Runs one of a service's programs: main (the service), migrate, bootstrap. It becomes the program, which gets the signals.
set -eu
program=${1:-main}
service=/app/services/$SERVICE
if [ ! -d "$service" ]; then
  cd "/app/packages/$SERVICE"
  exec node "src/$program.ts"
fi
cd "$service"
# The gateway counts and traces by hand: instrumentation would cost it as much as its work.
if [ "$program" = main ] && [ "$SERVICE" != gateway ]; then
  exec node --import @sluice/telemetry/setup src/main.ts
fi
# One process a core: the collector's helper threads would take from that core what they save. What a call allocates dies with it.
# Large bodies come and go: their memory is neither given back to the system each time nor a reason to collect everything.
if [ "$program" = main ]; then
  export MALLOC_MMAP_THRESHOLD_=4194304 MALLOC_TRIM_THRESHOLD_=134217728
  exec node --max-semi-space-size=32 --heap-growing-percent=500 --single-threaded-gc --no-allocation-site-pretenuring \
    --external-memory-accounted-in-global-limit --use-largepages=silent src/main.ts
fi
exec node "src/$program.ts"
