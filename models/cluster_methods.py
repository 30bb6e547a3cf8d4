"""Ways to cluster texts, by name: the default one, its variants, and the simple ones that it has
to beat. All take the same features.

Shapes: N texts, V terms, K clusters.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.decomposition import NMF, TruncatedSVD
from sklearn.preprocessing import normalize

from models.autoencoder import StackedAutoencoder, encode, fit
from models.cluster_scores import CLUSTERER_NAMES, method_name
from models.clusterers import by_size, check_num_clusters, kmeans, unsettled_is_no_warning
from models.text_clusters import ClusterRecipe, cluster_texts, num_epochs
from models.text_space import TextSpace
from models.threads import one_thread

Clusters = npt.NDArray[np.int32]
Method = Callable[[csr_matrix, int, int], Clusters]
_NMF_ROUNDS = 400
_RECIPE = ClusterRecipe()


def autoencoder_clusters(recipe: ClusterRecipe) -> Method:
    """Clusters of learned codes, by the recipe."""

    def clusters(features_NV: csr_matrix, num_clusters: int, seed: int) -> Clusters:
        points_ND = TextSpace.of(features_NV, recipe.num_dimensions).points(features_NV)
        return cluster_texts(points_ND, recipe, num_clusters, seed).grouping.cluster_N

    return clusters


def term_autoencoder_kmeans(features_NV: csr_matrix, num_clusters: int, seed: int) -> Clusters:
    """Clusters of the codes of one denoising autoencoder that reads the terms themselves."""
    model = StackedAutoencoder(features_NV.shape[1], seed=seed)
    for _ in fit(model, features_NV, epochs=num_epochs(_RECIPE, features_NV.shape[0]), seed=seed):
        pass
    return kmeans(encode(model, features_NV).codes_NC, num_clusters, seed).cluster_N


def tfidf_kmeans(features_NV: csr_matrix, num_clusters: int, seed: int) -> Clusters:
    """Clusters of the TF-IDF rows themselves. Numbers and errors as `grouped`'s."""
    return kmeans(features_NV, num_clusters, seed).cluster_N


def lsa_kmeans(
    features_NV: csr_matrix, num_clusters: int, seed: int, *, num_dimensions: int = 50
) -> Clusters:
    """Clusters of latent semantic analysis scaled to length 1.

    Deerwester et al., "Indexing by latent semantic analysis" (1990). There are fewer dimensions
    where there are fewer texts or terms, and a single term stands for itself. Numbers and errors as
    `grouped`'s.
    """
    if features_NV.shape[1] == 1:
        return kmeans(features_NV, num_clusters, seed).cluster_N
    num_dimensions = min(num_dimensions, *features_NV.shape)
    # Of texts that are all the same it reports a share of no variance, which nobody reads.
    with one_thread(), np.errstate(invalid="ignore", divide="ignore"):
        svd = TruncatedSVD(num_dimensions, random_state=seed)
        codes_NC = normalize(svd.fit_transform(features_NV))
    return kmeans(codes_NC, num_clusters, seed).cluster_N


def nmf_topics(features_NV: csr_matrix, num_clusters: int, seed: int) -> Clusters:
    """Each text's foremost topic of a non-negative factorisation: Xu, Liu and Gong, "Document
    clustering based on non-negative matrix factorization" (2003).
    """
    check_num_clusters(features_NV.shape[0], num_clusters)
    # More topics than terms have no singular vectors to begin with.
    init = "nndsvda" if num_clusters <= min(features_NV.shape) else "random"
    # Shares read back without any error have one just below 0, whose root it takes.
    with one_thread(), unsettled_is_no_warning(), np.errstate(invalid="ignore"):
        model = NMF(num_clusters, init=init, max_iter=_NMF_ROUNDS, tol=1e-3, random_state=seed)
        topics_NK = model.fit_transform(features_NV)
    return by_size(topics_NK.argmax(axis=1).astype(np.int32))


BASELINES: Mapping[str, Method] = {
    "TF-IDF + k-means": tfidf_kmeans,
    "LSA + k-means": lsa_kmeans,
    "NMF": nmf_topics,
}
METHODS: Mapping[str, Method] = {
    **{
        method_name(clusterer): autoencoder_clusters(replace(_RECIPE, clusterer=clusterer))
        for clusterer in CLUSTERER_NAMES
    },
    "stacked, pretrained autoencoders + k-means": autoencoder_clusters(
        replace(_RECIPE, hidden_widths=(128, 64), pretrain=True)
    ),
    "variational autoencoders + k-means": autoencoder_clusters(replace(_RECIPE, variational=True)),
    "one autoencoder + k-means": autoencoder_clusters(replace(_RECIPE, num_members=1)),
    "autoencoders without company + k-means": autoencoder_clusters(
        replace(_RECIPE, target_share=0.0, company_share=0.0)
    ),
    "autoencoder of terms + k-means": term_autoencoder_kmeans,
    **BASELINES,
}
