"""The entry script, in a folder of its own.

Beside a folder named `pages` Streamlit takes the first session's link to a page for one of its old multipage apps, and
runs that page without the bar.
"""

from __future__ import annotations

from dashboard.frame import run_dashboard

run_dashboard()
