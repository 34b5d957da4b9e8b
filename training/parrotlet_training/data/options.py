"""How the columns and splits of a foreign data set are called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HubOptions:
    """Of a data set of the Hub, or of a folder that `datasets` reads as one.

    Attributes:
        text: column of a document's text.
        path: column of its path; told to the model where there is one.
        quality: column of its level, a whole number from 0 to 4; told where there is one.
        repository: column of ``owner/name``, by which held-out repositories stay out of training;
            empty: the first of `REPOSITORY_COLUMNS` that is there.
        configuration: of the data set, where it has several.
        files: glob of the files to take, inside the data set; empty: all.
        train: split to train on, in the notation of `datasets`: ``train``, ``train[:99%]``.
        validation: split to validate on: ``validation``, ``train[99%:]``.
    """

    text: str = "content"
    path: str = "path"
    quality: str = "quality"
    repository: str = ""
    configuration: str = ""
    files: str = ""
    train: str = "train"
    validation: str = "validation"

    def __post_init__(self) -> None:
        if not (self.text and self.train and self.validation):
            raise ValueError("text, train and validation are not empty")
        if self.train == self.validation:
            raise ValueError(
                "train and validation are the same split: try train[:99%] and train[99%:]"
            )


REPOSITORY_COLUMNS = ("repository", "repo_name", "max_stars_repo_name", "repository_name")
"""What data sets of code call the column of a repository's name."""
