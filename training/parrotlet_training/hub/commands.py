"""What `parrotlet push` runs: what a run could not push while it went on."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from ..recipe import RecipeError, load_recipe
from .card import CARD_FILE, checkpoint_card
from .failure import PushError, check_name
from .publisher import branch_of, link
from .upload import Upload, contents, step_message, steps_there, upload


def push(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet push`."""
    try:
        for line in push_run(
            arguments.run_folder, arguments.repo_id, arguments.private, arguments.with_state
        ):
            print(line, flush=True)
    except (PushError, RecipeError, OSError) as error:
        print(f"parrotlet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


def push_run(run: Path, repo_id: str, private: bool, with_state: bool) -> list[str]:
    """Sends a run's checkpoints that its branch has not had, and the final model to ``main``.

    Returns:
        Lines for the user.

    Raises:
        PushError: if `run` holds no checkpoint, or the Hub cannot be reached or refuses.
        RecipeError: if the run's recipe cannot be read.
    """
    check_name(repo_id)
    folders = sorted((run / "checkpoints").glob("step-????????"))
    found = {int(folder.name.rpartition("-")[2]): folder for folder in folders}
    if not found:
        raise PushError(f"{run} holds no checkpoint: give the folder of a run of `parrotlet train`")
    branch = branch_of(run)
    there = steps_there(repo_id, branch)
    newest = max(there, default=-1)
    done = []
    address = ""
    for step, folder in found.items():
        if step <= newest:
            continue  # the branch never goes back
        item = Upload(str(folder), repo_id, branch, step_message(step), private, with_state)
        address = upload(item)
        done.append(f"step {step}")
    recipe = load_recipe(str(run / "recipe.yaml"))
    final = found.get(recipe.schedule.steps)
    if final is not None:
        with tempfile.TemporaryDirectory(dir=run, prefix=".push-") as scratch:
            for file in contents(final, with_state):
                link(file, Path(scratch) / file.relative_to(final))
            if not (final / CARD_FILE).exists():
                card = checkpoint_card(final, repo_id)
                (Path(scratch) / CARD_FILE).write_text(card, encoding="utf-8")
            message = f"Final model of {branch}"
            address = upload(Upload(scratch, repo_id, "main", message, private, with_state))
        done.append("the final model")
    if not done:
        return [f"nothing to do: branch {branch} of {repo_id} is at step {newest}"]
    return [f"pushed to {address}: {', '.join(done)}"]
