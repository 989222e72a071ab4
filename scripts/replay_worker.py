#!/usr/bin/env python3
"""A worker for scripts/replay-decide: passes everything on to bitfrontier's own, but for items of questions, which it
answers with what an earlier sweep recorded, at the time they took there."""

import json
import os
import subprocess
import sys
from pathlib import Path

RESULTS = Path(os.environ["REPLAY_RESULTS"])


def recorded():
    """By variant, id and index of an item, which several suites may have: lines of journals, each with the seconds of an item
    of that trial."""
    manifest = json.loads((RESULTS / "manifest.json").read_text())
    items = {}
    for trial in manifest["trials"]:
        folder = RESULTS / "trials" / trial["id"]
        if trial["kind"] != "suite" or not folder.exists():
            continue
        lines = [json.loads(line[9:]) for journal in sorted(folder.glob("items-*.jsonl"))
                 for line in journal.read_text(encoding="utf-8").split("\n") if len(line) > 9]
        cost = json.loads((folder / "trial.json").read_text()).get("outcome") or {}
        timed = len(lines) - cost.get("items_cached", 0)
        seconds = cost.get("wall_s", 0.0) / timed if timed > 0 else 0.0
        for line in lines:
            items.setdefault((trial["variant"], line["id"], line["index"]), []).append((line, seconds))
    return manifest["variants"], items


def found(items, variant, item):
    """The one line about this very item."""
    called = items.get((variant, item["id"], item["index"]), [])
    alike = [one for one in called if one[0]["score"].get("prompt") == item.get("context")] if len(called) > 1 else called
    if len(alike) != 1:
        sys.exit(f"{len(alike)} recorded items are {variant} {item['id']} {item['index']}")
    return alike[0]


def main():
    requests, replies = os.fdopen(os.dup(3), "rb"), os.fdopen(os.dup(4), "wb")
    request_reader, request_writer = os.pipe()
    reply_reader, reply_writer = os.pipe()

    def descriptors():
        os.dup2(request_reader, 3)
        os.dup2(reply_writer, 4)

    with subprocess.Popen([os.environ["REPLAY_PROGRAM"], "worker", "--parent", str(os.getpid())],
                          preexec_fn=descriptors, pass_fds=(3, 4)):
        os.close(request_reader)
        os.close(reply_writer)
        to_real, from_real = os.fdopen(request_writer, "wb"), os.fdopen(reply_reader, "rb")
        # The real worker ends when nobody asks it any more, whatever this one ends by.
        with to_real:
            serve(requests, replies, to_real, from_real)


def serve(requests, replies, to_real, from_real):
    def say(reply):
        replies.write(reply if isinstance(reply, bytes) else json.dumps(reply).encode() + b"\n")
        replies.flush()

    say(from_real.readline())
    variants = items = None
    variant = "base"
    for line in requests:
        request = json.loads(line)
        if request["request"] == "load":
            if items is None:
                variants, items = recorded()
            # A variant's file is called after its recipe; the name that a process holds it by begins with a dot.
            name = Path(request["model"]).name.lstrip(".")
            own = [v["name"] for v in variants if "/" not in v["name"] and name.startswith(f"{v['recipe']}-")]
            if not own and name.endswith(".tmp"):
                sys.exit(f"no variant is called after {name}")
            variant = own[0] if own else "base"
        if request["request"] in ("choice", "generate"):
            seconds = 0.0
            known = set(request.get("known", []))
            for item in request["items"]:
                if item["index"] in known:
                    continue
                line, took = found(items, variant, item)
                say({"reply": "item", **line})
                seconds += took
            say({"reply": "finished", "finished": "items", "wall_s": seconds, "decode_s": seconds, "tokens_decoded": 0})
            continue
        to_real.write(line)
        to_real.flush()
        while True:
            line = from_real.readline()
            if not line:
                sys.exit(71)
            say(line)
            if json.loads(line)["reply"] in ("finished", "failed"):
                break


if __name__ == "__main__":
    main()
