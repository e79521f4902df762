"""What the name of a file says about it. The content of a file decides whether it is an image; its name says where to look."""

import re
from pathlib import PurePosixPath

_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_SYSTEM_FOLDERS = {"__macosx", "@eadir", "$recycle.bin"}
_TEXTS = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|changelog)([^.]*\.(md|txt|rst|html?|pdf|bib|cff))?", re.IGNORECASE
)
# Texts, tables, annotations and code, which data sets keep beside their images.
_ANNOTATIONS = {
    *(".bib", ".cff", ".cfg", ".csv", ".db", ".doc", ".docx", ".dvc", ".h5", ".hdf5", ".htm", ".html", ".ini", ".ipynb"),
    *(".json", ".jsonl", ".log", ".m", ".mat", ".md", ".md5", ".ndjson", ".npy", ".npz", ".odt", ".ods", ".parquet", ".pdf"),
    *(".pickle", ".pkl", ".ppt", ".pptx", ".prototxt", ".py", ".rst", ".rtf", ".sh", ".sha1", ".sha256", ".sqlite", ".tex"),
    *(".toml", ".tsv", ".txt", ".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml"),
}


def is_ignored(path: str) -> bool:
    """Whether a file is not meant to be an image: hidden, written by an operating system, or a text about the images."""
    *folders, name = PurePosixPath(path).parts
    return (
        name.startswith(".")
        or name.casefold() in _SYSTEM_FILES
        or _TEXTS.fullmatch(name) is not None
        or any(is_system_folder(folder) for folder in folders)
    )


def is_annotation(path: str) -> bool:
    """Whether a name is that of a text or an annotation. Such a file is ignored unless its content is an image."""
    return PurePosixPath(path).suffix.lower() in _ANNOTATIONS


def is_system_folder(name: str) -> bool:
    """Whether a folder is hidden or written by an operating system."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS
