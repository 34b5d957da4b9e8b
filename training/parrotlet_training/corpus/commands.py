"""`parrotlet corpus …`."""

from __future__ import annotations

import argparse
import sys

from .build import BuildOptions, Manifest, build_corpus
from .sources import Source, SourceError, parse_source, read_recipe

DEFAULT_CLONES = "clones/{owner}/{name}"


def build(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet corpus build`."""
    options = BuildOptions(
        min_bytes=arguments.min_bytes,
        max_bytes=arguments.max_bytes,
        validation_share=arguments.validation_share,
        holdout=arguments.holdout,
    )
    try:
        sources: list[Source] = [s for word in arguments.sources for s in parse_source(word)]
        if arguments.recipe:
            sources += read_recipe(arguments.recipe, arguments.clones)
        if not sources:
            raise SourceError("no source given: name a SOURCE or a --recipe")
        manifest = build_corpus(sources, arguments.out, options)
    except (SourceError, OSError) as error:
        print(f"parrotlet: {error}", file=sys.stderr)
        return 1
    print("\n".join(summary(manifest)))
    print(f"corpus written to {arguments.out}")
    return 0


def summary(manifest: Manifest) -> list[str]:
    """Lines that say what a build kept and left out."""
    lines = [f"{manifest.files_seen:,} files seen"]
    for split, documents in manifest.documents.items():
        repositories = sum(1 for s in manifest.sources if s.split == split and s.documents)
        megabytes = manifest.bytes[split] / 1e6
        lines.append(
            f"{split}: {documents:,} documents, {megabytes:,.1f} MB, {repositories} repositories"
        )
    for reason, count in manifest.left_out.most_common():
        lines.append(f"left out, {reason}: {count:,}")
    for name, reason in manifest.skipped_sources.items():
        lines.append(f"source left out, {reason}: {name}")
    if "train" in manifest.documents and not manifest.documents["validation"]:
        lines.append("no repository fell to validation: name more sources or raise the share")
    return lines
