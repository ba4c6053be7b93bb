#!/usr/bin/env bash
# Installs what tensord needs, builds it, starts a server, walks through deploy/tour.py against it, and goes on
# serving until it is interrupted. With --demo it stops after the tour.
#
# TENSORD_LISTEN overrides the address (127.0.0.1:50051; with --demo any free port).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/common.sh

demo=false
case "${1-}" in
  '') ;;
  --demo) demo=true ;;
  *) echo "usage: deploy/run.sh [--demo]" >&2; exit 2 ;;
esac

mkdir -p build
install_packages
build_preset release
install_venv deploy/requirements.txt
install_python_client

if $demo; then listen=${TENSORD_LISTEN-127.0.0.1:0}; else listen=${TENSORD_LISTEN-127.0.0.1:50051}; fi
say "starting the server; its log is build/server.log"
log=build/server.log
build/release/bin/tensord --listen "$listen" 2>"$log" &
server=$!
stop_server() {
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" || true
}
trap stop_server EXIT
trap 'exit 130' INT TERM
until grep -q '^ready' "$log"; do
  kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.05
done
address=$(sed -n 's/^listening on //p' "$log" | head -n 1)

say "the tour"
build/venv/bin/python deploy/tour.py "$address"
if $demo; then
  trap - EXIT
  kill -TERM "$server"
  wait "$server"
  exit 0
fi
say "serving on $address; interrupt to stop"
wait "$server"
