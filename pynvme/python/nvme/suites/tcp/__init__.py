"""Tests of any NVMe/TCP target: docs/tcp-suite.md says how to run them and what they check.

    pytest --pyargs nvme.suites.tcp --pciaddr=192.168.1.7:4420 --nqn=nqn.2026-01.org.example:disk

What is on the namespace under test is overwritten.
"""
