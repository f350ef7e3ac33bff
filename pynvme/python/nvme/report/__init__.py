"""`--nvme-report`: what a session did, as one HTML file that opens without network, and as JSON beside it.

recorder.py collects while tests run, budget.py keeps it small, compare.py sets it against an earlier report, page.py
makes the page of it with the files in page/; uplot/ draws the plots.
"""
