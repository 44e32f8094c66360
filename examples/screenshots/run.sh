#!/usr/bin/env bash
# Makes the pictures of docs/images and, in a directory that it names, those of every page in
# light, dark and phone width. Needs cargo, python3, node, chromium, tmux, and playwright-core in
# BROWSER_DIR/node_modules (`npm install playwright-core` there).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${CODEX_WORKER_BIN:-$root/target/debug/codex-worker}
[ -x "$bin" ] || (cd "$root" && cargo build)
kept=$("$bin" demo --agent builtin --keep 2>&1 | sed -n 's/^kept *//p')
state=$kept/state shots=$kept/pictures
mkdir -p "$shots" "$kept/sandbox"
python3 "$here/state.py" "$state"
export SANDBOX_ROOT=$kept/sandbox MAX_RUNNING_JOBS=2
"$bin" serve --home "$state" --listen 127.0.0.1:0 >"$kept/serve.log" &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
until grep -q '^open ' "$kept/serve.log"; do sleep 0.2; done
node "$here/shoot.mjs" "$(sed -n 's/^open //p' "$kept/serve.log")" "$shots"
# The terminal: what tmux sees, as a page, as a picture.
session=codex-worker-pictures-$$
tmux -L "$session" -f /dev/null new-session -d -x 100 -y 20 "$bin watch --home $state"
sleep 4
tmux -L "$session" send-keys j j
sleep 1
tmux -L "$session" capture-pane -e -p >"$kept/watch.ansi"
tmux -L "$session" kill-server
node "$here/terminal.mjs" "$kept/watch.ansi" "$shots/watch.png"
mkdir -p "$root/docs/images"
cp "$shots/job-docs.png" "$root/docs/images/serve-job.png"
cp "$shots/watch.png" "$root/docs/images/watch.png"
echo "the other pictures are in $shots"
