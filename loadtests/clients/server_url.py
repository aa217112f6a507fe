"""A pytest plug-in: kinto.py's tests, which name one fixed server, use the one under test.

Loaded before the tests import anything, so that they run as they were published.
"""

import os

import kinto_http.constants

kinto_http.constants.SERVER_URL = os.environ["SERVER_URL"]
