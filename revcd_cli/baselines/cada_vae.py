"""CADA-VAE: two variational auto-encoders, of features and of descriptions, with one aligned latent space.

Schoenfeld, Ebrahimi, Sinha, Darrell & Akata, "Generalized Zero- and Few-Shot Learning via Aligned Variational
Autoencoders", CVPR 2019 (arXiv 1812.01784), Eq. 2 to 7. Loss weights, warm-up and last step are the authors'.
Deviations, which save time: narrower networks, with a larger learning rate, and larger batches for the last classifier.
It has a fixed number of epochs; the authors report its best epoch on test photos. Fewer than the authors' 100 epochs of
the auto-encoders are worse: in validation on animals 40 epochs lose 5 points of AUSUC.
Symbols: B photos, N training photos, K candidates, A attributes, D feature size, L latent size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.trainer import TrainingRows
from .cvae import gaussian_kl
from .preprocessing import GridSetting, Scorer, describe_by, scale_features, seen_positions

_LATENT = 64
_WIDTH = 512  # hidden units of each network; the authors: 1560 and 1660 for features, 1450 and 660 for descriptions
_BATCH, _RATE = 64, 5e-4  # the authors: 50 and 1.5e-4
_SEEN_SAMPLES, _UNSEEN_SAMPLES = 200, 400  # latents of each class that train the last classifier
_LAST_BATCH, _LAST_RATE, _LAST_EPOCHS, _LAST_BETAS = 256, 3e-3, 20, (0.5, 0.999)  # the authors: 32 and 1e-3


class WarmUp(NamedTuple):
    """A loss weight that rises linearly from 0 between two points of the training, in percent of it, and then stays."""

    start: float
    end: float
    weight: float

    def at(self, percent: float) -> float:
        """Return the weight at a point of the training in percent."""
        return self.weight * min(1.0, max(0.0, (percent - self.start) / (self.end - self.start)))


KL_WEIGHT = WarmUp(0, 93, 0.25)
CROSS_WEIGHT = WarmUp(21, 75, 2.37)
DISTANCE_WEIGHT = WarmUp(6, 22, 8.13)

CADA_VAE_GRID: tuple[GridSetting, ...] = ({"features": "minmax", "descriptions": "raw", "epochs": 100},)


class Autoencoder(nn.Module):
    """Encoder to the mean and log variance of a latent, and decoder, each with one hidden layer."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 2 * _LATENT))
        self.decoder = nn.Sequential(nn.Linear(_LATENT, width), nn.ReLU(), nn.Linear(width, inputs))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight, gain=0.5)
                nn.init.zeros_(layer.bias)

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance (B, L) each. rows: (B, inputs)."""
        mean, log_variance = self.encoder(rows).chunk(2, dim=-1)
        return mean, log_variance


def draw_latents(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draw z ~ N(mean, diag exp log_variance) from torch's global generator, one for each row."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def gaussian_distance(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """Return the 2-Wasserstein distance of Gaussians with diagonal covariances, row by row (Eq. 6): (B,)."""
    deviations = (log_variance / 2).exp() - (other_log_variance / 2).exp()
    squared = (mean - other_mean).square().sum(-1) + deviations.square().sum(-1)
    return squared.clamp(min=1e-12).sqrt()  # the gradient of a root is not finite at 0


class AlignedAutoencoders(nn.Module):
    """The auto-encoders of features and of descriptions."""

    def __init__(self, feature_dim: int, n_attributes: int) -> None:
        super().__init__()
        self.features = Autoencoder(feature_dim, _WIDTH)
        self.descriptions = Autoencoder(n_attributes, _WIDTH)

    def loss(self, x: Tensor, s: Tensor, labels: Tensor, percent: float) -> Tensor:
        """Return L_VAE + gamma L_CA + delta L_DA (Eq. 7), a mean over the photos of sums over dimensions.

        x: (B, D) scaled features; s: (C, A) scaled descriptions; labels: (B,); percent: of the training that is done.
        """
        classes, inverse = labels.unique(return_inverse=True)
        mean_x, log_x = self.features.encode(x)
        mean_s, log_s = (part[inverse] for part in self.descriptions.encode(s[classes]))
        own_s = s[labels]
        z_x, z_s = draw_latents(mean_x, log_x), draw_latents(mean_s, log_s)
        rebuilt = _absolute(self.features.decoder(z_x), x) + _absolute(self.descriptions.decoder(z_s), own_s)
        crossed = _absolute(self.features.decoder(z_s), x) + _absolute(self.descriptions.decoder(z_x), own_s)
        kl = gaussian_kl(mean_x, log_x) + gaussian_kl(mean_s, log_s)
        distance = gaussian_distance(mean_x, log_x, mean_s, log_s)
        return (
            rebuilt
            + KL_WEIGHT.at(percent) * kl
            + CROSS_WEIGHT.at(percent) * crossed
            + DISTANCE_WEIGHT.at(percent) * distance
        ).mean()


def _absolute(rebuilt: Tensor, rows: Tensor) -> Tensor:
    return (rebuilt - rows).abs().sum(-1)


class CadaVAE:
    """A scorer: log posteriors of a linear classifier of latents that is trained for each set of candidates.

    It is trained on latents of training photos for candidates that are training classes, and on latents of the
    description for the others. The classifiers of the last two sets of candidates are kept.
    """

    def __init__(self, rows: TrainingRows, setting: GridSetting, seed: int) -> None:
        self.rows, self.seed = rows, seed
        self.scale, x = scale_features(rows.features, setting["features"])
        self.describe = describe_by(rows.prototypes, setting["descriptions"])
        self.classifiers: list[tuple[Tensor, nn.Linear]] = []
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            self.model = _trained(x.float(), self.describe(rows.prototypes).float(), rows.labels, setting["epochs"])
        with torch.no_grad():
            self.latents = self.model.features.encode(x.float())  # (N, L) means, (N, L) log variances

    def __call__(self, x: Tensor, prototypes: Tensor) -> Tensor:
        """Score photos (B, D) against candidates (K, A). A score depends on the set of candidates."""
        mean, _ = self.model.features.encode(self.scale(x).float())
        scores: Tensor = self.classifier(prototypes)(mean).log_softmax(1)
        return scores

    def classifier(self, prototypes: Tensor) -> nn.Linear:
        """Return the classifier for these candidates, the same for the same ones."""
        for known, classifier in self.classifiers:
            if torch.equal(known, prototypes):
                return classifier
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            with torch.no_grad():
                z, labels = self.draw(prototypes)
            with torch.enable_grad():
                classifier = _last_classifier(z, labels, len(prototypes))
        self.classifiers = [*self.classifiers[-1:], (prototypes, classifier)]
        return classifier

    def draw(self, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        """Draw latents of the candidates (K, A). Returns them with the positions of their candidates."""
        seen = seen_positions(prototypes, self.rows)
        mean, log_variance = self.model.descriptions.encode(self.describe(prototypes).float())
        latents, labels = [], []
        for k, c in enumerate(seen.tolist()):
            if c >= 0:
                own = (self.rows.labels == c).nonzero()[:, 0]
                chosen = own[torch.randint(len(own), (_SEEN_SAMPLES,))]
                latents.append(draw_latents(*(part[chosen] for part in self.latents)))
            else:
                latents.append(draw_latents(*(part[k].expand(_UNSEEN_SAMPLES, -1) for part in (mean, log_variance))))
            labels.append(torch.full((len(latents[-1]),), k))
        return torch.cat(latents), torch.cat(labels)


def cada_vae(rows: TrainingRows, settings: Sequence[GridSetting], seed: int = 0) -> Iterator[Scorer]:
    """Train the auto-encoders for each setting and yield scorers."""
    for setting in settings:
        yield CadaVAE(rows, setting, seed)


def _trained(x: Tensor, s: Tensor, labels: Tensor, epochs: int) -> AlignedAutoencoders:
    model = AlignedAutoencoders(x.shape[1], s.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE, amsgrad=True, fused=True)
    for epoch in range(epochs):
        for some in torch.randperm(len(x)).split(_BATCH):
            optimizer.zero_grad(set_to_none=True)
            model.loss(x[some], s, labels[some], 100 * epoch / epochs).backward()
            optimizer.step()
    return model.eval().requires_grad_(False)


def _last_classifier(z: Tensor, labels: Tensor, n_classes: int) -> nn.Linear:
    classifier = nn.Linear(z.shape[1], n_classes)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=_LAST_RATE, betas=_LAST_BETAS, fused=True)
    for _ in range(_LAST_EPOCHS):
        for some in torch.randperm(len(z)).split(_LAST_BATCH):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(classifier(z[some]), labels[some]).backward()
            optimizer.step()
    return classifier.requires_grad_(False)
