"""What a program is for, told by what it imports and where it lies."""

from __future__ import annotations

import re

FIELDS: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "web": """aiohttp_jinja2 blacksheep bottle cherrypy channels django fastapi flask gunicorn
            hypercorn jinja2 litestar mako pyramid quart rest_framework sanic sqladmin starlette
            tornado twisted uvicorn webob werkzeug wsgiref wtforms zope""",
        "networking": """aiohttp anyio bs4 dns grpc h11 h2 http httpcore httplib2 httpx imaplib
            kombu paho pika requests scapy scrapy smtplib socket socketserver ssl trio urllib
            urllib3 websockets xmlrpc zmq""",
        "data and databases": """airflow alembic arrow asyncpg celery csv dagster dask delta duckdb
            elasticsearch ibis kafka luigi mongoengine mysql openpyxl pandas peewee polars prefect
            psycopg psycopg2 pyarrow pymongo pymysql pyspark redis sqlalchemy sqlite3 sqlglot
            sqlmodel tortoise xlrd xlsxwriter""",
        "scientific": """Bio MDAnalysis astropy biopython cupy cython fenics geopandas h5py healpy
            networkx nibabel numba numpy obspy openmm pymatgen pyproj qutip qiskit cirq rasterio
            rdkit scipy shapely simpy skimage statsmodels sunpy sympy uncertainties xarray yt""",
        "plots and images": """PIL altair bokeh cv2 holoviews imageio matplotlib plotly seaborn
            streamlit vispy""",
        "machine learning": """accelerate allennlp autogluon catboost datasets diffusers fastai flax
            gensim gym gymnasium jax keras langchain lightgbm lightning mlflow nltk onnx openai
            optax peft pytorch_lightning ray sentence_transformers sklearn spacy tensorflow
            tokenizers torch torch_geometric torchaudio torchvision transformers wandb xgboost""",
        "tools for developers": """IPython ast astroid black build cProfile coverage dis distutils
            flake8 hatchling inspect isort jedi libcst lib2to3 mypy nox packaging parso pdb pip
            pkg_resources poetry pre_commit pycodestyle pyflakes pygments pylint ruff setuptools
            sphinx docutils symtable tokenize tox twine virtualenv wheel""",
        "command line": """argh argparse click cmd curses docopt fire getopt optparse prompt_toolkit
            questionary readline rich textual tqdm typer""",
        "devops": """ansible awscli azure boto boto3 botocore certbot consul docker fabric
            googleapiclient hvac invoke kubernetes libcloud libvirt moto nomad opentelemetry
            paramiko prometheus_client psutil pulumi salt subprocess supervisor troposphere""",
        "games": """OpenGL arcade bpy cocos evennia godot kivy moderngl panda3d pygame pyglet pymunk
            pyxel ursina renpy""",
        "desktop": """PyQt4 PyQt5 PyQt6 PySide2 PySide6 Tkinter gi gtk pyqtgraph qtpy toga tkinter
            turtle wx""",
        "security": """Crypto OpenSSL authlib bcrypt cryptography hashlib hmac impacket itsdangerous
            jose jwt nacl oauthlib passlib pwn secrets""",
        "tests": """behave doctest hypothesis mock nose pytest responses selenium playwright
            testtools tests unittest""",
    }.items()
}
"""Top-level modules that speak for a field; one file can belong to several."""

EDUCATION = re.compile(
    r"(?i)(?:^|[/_.-])(?:exercises?|tutorials?|lessons?|homeworks?|courses?|katas?|leetcode|"
    r"euler|examples?|samples?|demos?|quickstarts?|cookbooks?|algorithms?)(?:$|[/_.-])"
)
_TEST = re.compile(
    r"(?:^|/)(?:tests?|testing|unit_?tests?)/|(?:^|/)(?:test_[^/]*|[^/]*_tests?|conftest)\.py$"
)


def is_test(path: str) -> bool:
    """Whether a file's path says that it is a test."""
    return _TEST.search(path.lower()) is not None


def fields_of(repository: str, path: str, imports: frozenset[str]) -> set[str]:
    """The fields of a file; empty where nothing speaks for one.

    Args:
        repository: ``owner/name``; a project that is itself the library of a field counts there.
        path: inside the repository.
        imports: top-level modules that the file imports.
    """
    folders = path.split("/")[:-1]
    # A library reaches its own modules by relative imports: its package's name stands in.
    own = {repository.rpartition("/")[2].replace("-", "_"), *folders[:2]}
    found = {name for name, modules in FIELDS.items() if not modules.isdisjoint(imports | own)}
    if is_test(path):
        found.add("tests")
    if EDUCATION.search(path):
        found.add("education and examples")
    return found


FIELD_NAMES = (*FIELDS, "education and examples")
