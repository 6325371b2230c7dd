"""Failures that are alike: found, told apart from what did not fail, and known again tomorrow."""

from inframind.advisor.clustering.config import ClusterConfig
from inframind.advisor.clustering.finding import Clustering, find_clusters
from inframind.advisor.clustering.levels import Cuts

__all__ = ["ClusterConfig", "Clustering", "Cuts", "find_clusters"]
