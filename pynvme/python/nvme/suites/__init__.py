"""Test suites that come with the module: pytest --pyargs nvme.suites.tcp."""
