"""Recipes of Debian documentation under permissive licences."""

from qstar_train.data.prepare.debian import debian_package, pages
from qstar_train.data.prepare.recipe import Recipe

_DOCUMENTATION = (
    # name, package, MB to download, MB of jsonl, what it is, licence
    ("docs_python", "python3.11-doc", 13, 7.5, "Python", "PSF-2.0"),
    ("docs_postgresql", "postgresql-doc-15", 2, 4.7, "PostgreSQL", "PostgreSQL"),
    ("docs_sqlite", "sqlite3-doc", 8, 4, "SQLite", "public domain"),
    ("docs_apache", "apache2-doc", 4, 1.5, "the Apache server", "Apache-2.0"),
    ("docs_boost", "libboost1.81-doc", 8, 3, "Boost (C++ and mathematics)", "BSL-1.0"),
    ("docs_scipy", "python-scipy-doc", 33, 2, "SciPy", "BSD-3-Clause"),
    ("docs_sklearn", "python-sklearn-doc", 50, 2.7, "scikit-learn", "BSD-3-Clause"),
    ("docs_sympy", "python-sympy-doc", 22, 1.5, "SymPy", "BSD-3-Clause"),
    ("docs_statsmodels", "python-statsmodels-doc", 37, 1, "statsmodels", "BSD-3-Clause"),
)

DEBIAN = tuple(
    Recipe(
        name=name,
        summary=f"documentation of {subject}",
        licence=licence,
        package=debian_package(package, size_mb=download_mb),
        size_mb=size_mb,
        extract=pages,
    )
    for name, package, download_mb, size_mb, subject, licence in _DOCUMENTATION
)
