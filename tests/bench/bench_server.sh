#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The bare server against nginx `return 200` with the same 0.9 KB reply to the same 0.3 KB POST: requests a second and
# CPU a request, server on core 0, wrk on core 1, medians of three short runs.
#   bench_server.sh BENCH_SERVER [CONNECTIONS [SECONDS]]
set -eu
bench=$1 connections=${2:-32} seconds=${3:-3}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$work"' EXIT
pids=

cat > "$work/post.lua" <<'LUA'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-0123456789012345678901234567"
wrk.headers["User-Agent"] = "OpenAI/Python 2.8.0"
wrk.headers["Accept"] = "application/json"
wrk.body = '{"model":"gpt-4o","messages":[{"role":"user","content":"' .. string.rep("q", 240) .. '"}]}'
LUA
body=$(printf 'x%.0s' $(seq 900))
cat > "$work/nginx.conf" <<CONF
worker_processes 1;
daemon off;
pid $work/nginx.pid;
error_log $work/error.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; tcp_nodelay on; default_type application/json;
  client_body_temp_path $work/b; proxy_temp_path $work/p; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  server { listen 127.0.0.1:8097; location / { return 200 "$body"; } }
}
CONF

cpu_ticks() # of a process: user + system
{
    sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'
}

run() # name, pid, port
{
    before=$(cpu_ticks "$2")
    out=$(taskset -c 1 wrk -t1 -c"$connections" -d"$seconds" -s "$work/post.lua" "http://127.0.0.1:$3/v1/chat/completions")
    after=$(cpu_ticks "$2")
    echo "$out" | awk -v name="$1" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" '
        /requests in/ {n = $1} /Requests\/sec/ {rate = $2}
        END {printf "%s %.0f %.2f\n", name, rate, ticks / hz * 1e6 / n}' | tee -a "$work/results"
}

taskset -c 0 "$bench" 127.0.0.1:8098 > /dev/null & ours=$!
taskset -c 0 nginx -c "$work/nginx.conf" & master=$!
pids="$ours $master"
sleep 0.5
worker=$(pgrep -P "$master")
for round in 1 2 3; do
    run larder "$ours" 8098
    run nginx "$worker" 8097
done
awk '{n[$1]++; rate[$1, n[$1]] = $2; cpu[$1, n[$1]] = $3}
    function median(a, b, c) {return a > b ? (b > c ? b : (a > c ? c : a)) : (a > c ? a : (b > c ? c : b))}
    END {for (s in n) {r[s] = median(rate[s, 1], rate[s, 2], rate[s, 3]); u[s] = median(cpu[s, 1], cpu[s, 2], cpu[s, 3])}
        printf "larder %.0f/s %.2f us, nginx %.0f/s %.2f us: CPU %.2f x, rate %.2f x\n",
            r["larder"], u["larder"], r["nginx"], u["nginx"], u["larder"] / u["nginx"], r["larder"] / r["nginx"]}' "$work/results"
