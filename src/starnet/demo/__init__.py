"""The demo: stars as a survey observes them, through the main job, into a report.

    result = run_demo("demo")            # files, catalogue, limits
    write_report(result, "demo/report.html")

`stars` makes them, `files` writes them as a survey does, `run` labels and compares them, `lines`
names lines of generated spectra, `figures` draws, `page` is one self-contained HTML file, and
`report` puts it together.
"""

from starnet.demo.report import write_report
from starnet.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo", "write_report"]
