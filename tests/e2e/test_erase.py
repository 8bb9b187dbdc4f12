# SPDX-License-Identifier: Apache-2.0
"""A tenant is erased: nothing of it is served or listed any more, cut short or not, and others notice nothing."""

import os
import subprocess
import time

import harness
from harness import Box, check, equal, is_hit, is_miss, test, upstream

OWN = "sk-of-the-box-0123456789"
MANY = 60


def box_with_two():
    up = upstream()
    box = Box(up, provider={"key": OWN, "retry": {"attempts": 1}, "breaker": {"probe": "200ms"}},
              config={"semantic": {"embedder": "ngram"}}, cache={"semantic": "preset"})
    return box, up, box.add_tenant("ann"), box.add_tenant("bob")


def tenant_id(box, name):
    with open(os.path.join(box.data, "keys", "tenants"), encoding="utf-8") as rows:
        return next(line.split()[1] for line in rows if line.startswith(name + " "))


def secrets(box):
    with open(os.path.join(box.data, "keys", "rotation"), "rb") as file:
        return file.read()


def nothing_left(box, up, ann, number):
    """Of ann: key, answers, codes' secret, questions, name, intention."""
    equal(box.chat("ann's question 1", key=ann).status, 401, "ann's key")
    check(number not in secrets(box).hex(), "the secret of ann's codes is still there")
    listed = box.ctl("cache", "list", "100")
    check("ann's question" not in listed, listed)
    check("ann" not in box.ctl("tenant", "list"), "ann is still listed")
    check(not os.path.exists(os.path.join(box.data, "erasing")), "the note of what is to be erased")
    kept = os.path.join(box.data, "deferred")
    names = os.listdir(kept) if os.path.isdir(kept) else []
    check(not [name for name in names if number in name], "kept questions", names)
    check(number[:8] not in box.ctl("semantic", "show"), "labels")


def fill(box, ann, bob):
    for n in range(MANY):
        is_miss(box.chat("ann's question %d" % n, key=ann))
    is_miss(box.chat("bob's question", key=bob))
    box.wait_committed()


def bob_is_well(box, bob):
    is_hit(box.chat("bob's question", key=bob))


@test("erase: answers, kept questions, secret, rows and name of one tenant go; others stay", limit=60)
def all_goes():
    box, up, ann, bob = box_with_two()
    fill(box, ann, bob)
    request = box.chat("ann's question 3", key=ann).header("x-request-id")
    check("hit=exact" in box.ctl("why", request), "a row of ann's")
    number = tenant_id(box, "ann")
    check(number in secrets(box).hex(), "a secret of ann's")
    up.vanish()
    reply = box.chat("ann wants this later", key=ann, headers={"prefer": "respond-async"})
    equal(reply.status, 202)
    said = box.ctl("tenant", "erase", "ann")
    check("%d stored answers, kept questions" % MANY in said and "nothing is sealed" in said, said)
    nothing_left(box, up, ann, number)
    box.ctl("why", request, code=1)
    equal(box.get(reply.header("location"), key=ann).status, 401)
    bob_is_well(box, bob)
    check("1 of " in box.ctl("cache", "stats"), "entries")
    box.kill9()
    box.start()
    nothing_left(box, up, ann, number)
    bob_is_well(box, bob)
    up.start()
    again = box.add_tenant("ann")
    is_miss(box.chat("ann's question 1", key=again))


@test("erase: what kill -9 cut short is finished after the next start", limit=90)
def cut_short():
    for pause in (0.0, 0.004, 0.02, 0.06):
        box, up, ann, bob = box_with_two()
        fill(box, ann, bob)
        number = tenant_id(box, "ann")
        asking = subprocess.Popen(box.command("ctl", "-c", box.config_path, "tenant", "erase", "ann"), cwd=box.folder,
                                  env=box.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(pause)
        box.kill9()
        asking.communicate(timeout=10)
        intended = os.path.exists(os.path.join(box.data, "erasing"))
        box.start()
        if asking.returncode == 0:
            check(not intended, "it was acknowledged")
        elif intended:
            box.wait_log("cut short, and is finished now", timeout=10)
        elif "ann" in box.ctl("tenant", "list"):
            box.ctl("tenant", "erase", "ann")      # it had not begun: it can be asked for again
        nothing_left(box, up, ann, number)
        bob_is_well(box, bob)
        box.close()


@test("erase: a note of it is enough, whatever was done before", limit=60)
def from_the_note():
    box, up, ann, bob = box_with_two()
    fill(box, ann, bob)
    number = tenant_id(box, "ann")
    box.kill9()
    with open(os.path.join(box.data, "erasing"), "wb") as note:
        note.write(bytes.fromhex(number))
    box.start()
    box.wait_log("finished now: %d answers" % MANY, timeout=10)
    nothing_left(box, up, ann, number)
    bob_is_well(box, bob)


if __name__ == "__main__":
    harness.main()
