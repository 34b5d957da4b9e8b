"""`parrotlet pretokenize`."""

from __future__ import annotations

import argparse
import shutil
import sys

from parrotlet_tokenizer import TokenizerError

from ..recipe import RecipeError, load_recipe
from .pretokenize import pretokenize as make
from .pretokenize import work_folder
from .units import DataError


def pretokenize(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet pretokenize`."""
    out = arguments.out.expanduser().resolve()
    try:
        recipe = load_recipe(arguments.recipe, arguments.set)
        if arguments.fresh:
            shutil.rmtree(work_folder(out), ignore_errors=True)
        if work_folder(out).exists():
            print("going on with a run that was interrupted (--fresh begins anew)")
        done = make(recipe, out, arguments.draws, arguments.workers)
    except (RecipeError, DataError, TokenizerError, OSError) as error:
        print(f"parrotlet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    if not done.made:
        print(f"nothing to do: {arguments.out} is whole and of this recipe")
        return 0
    draws = done.cache.origin.draws
    print(f"{done.cache.tokens / draws:,.0f} tokens an epoch, {draws} drawn")
    print(f"cache written to {arguments.out}: train with data.cache={arguments.out}")
    return 0
