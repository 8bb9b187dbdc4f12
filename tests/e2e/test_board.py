# SPDX-License-Identifier: Apache-2.0
"""The board's counts on a running box: what was chosen, what a reload may change of it, the high-water marks."""

import subprocess

import harness
from harness import Box, check, equal, is_hit, is_miss, test, upstream


@test("board: its values are in force and told; a file's own beat them")
def chosen():
    box = Box(upstream(), config={"board": "small", "limits": {"requests": 40}})
    box.wait_log(r"board small: asked for by name")
    shown = box.ctl("config", "show")
    check(shown.startswith("# board small ("), shown[:100])
    check("  connections: 512\n" in shown and "  requests: 40\n" in shown and "  sync_every: 200ms\n" in shown, shown)
    is_miss(box.chat("on a small board"))
    is_hit(box.chat("on a small board"))


@test("board: an unknown name ends the start with the known ones")
def unknown():
    box = Box(upstream(), config={"board": "rpi6"}, autostart=False)
    run = subprocess.run(box.command("check", "-c", box.config_path), capture_output=True, text=True, check=False)
    equal(run.returncode, 2, "exit code")
    check("there are auto, generic, rpi4, rpi5, server, small" in run.stderr, run.stderr)


@test("board: a reload takes lower limits, and of higher ones what the boot reserved", limit=60)
def limits_at_reload():
    box = Box(upstream(), config={"board": "small"})
    for limits in ({"connections": 4096}, {"connections": 16}, {"parse_max": "64KiB"}, {"parse_max": "4MiB"},
                   {"requests": 8}, {"requests": 512}, {"header": "64KiB"}, {"header": "8KiB"}, {"memory": "1GiB"},
                   {"memory": "2MiB"}):
        box.config["limits"] = {}
        box.reload({"limits": limits})
        check(box.alive(), limits)
        check(box.chat("with %s" % limits).status == 200, limits)


@test("metrics: high-water marks of fibers, stacks, heaps and arenas; each name is explained once")
def marks():
    box = Box(upstream())
    is_miss(box.chat("leaves a mark"))
    values = box.metrics()
    check(values['larder_fibers_high{pool="api"}'] >= 1, "api fibers")
    check(4096 <= values['larder_stack_high_bytes{pool="api"}'] < 32768, values['larder_stack_high_bytes{pool="api"}'])
    check(values['larder_heap_bytes{library="lmdb",kind="high"}'] > 0, "heap of lmdb")
    check(values["larder_request_arenas_high_bytes"] > 0, "arenas")
    equal(values['larder_heap_refused_total{library="lmdb"}'], 0, "refused")
    text = box.admin_get("/metrics").body.decode()
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    equal(len(types), len(set(types)), "names with a TYPE")


if __name__ == "__main__":
    harness.main()
