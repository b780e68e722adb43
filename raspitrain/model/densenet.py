"""DenseNet for signals (Huang et al. 2017, arXiv:1608.06993), the -BC variant.

    model = DenseNet(depth=121, growth_rate=32, num_channels=3, num_classes=2, length=224,
                     num_downsamples="auto")
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from torch import nn

from raspitrain.model.layers import Concat, conv, conv_norm, halving_pool, pooled_classifier
from raspitrain.model.scaling import check_choice, check_signals, keep_strides

LAYERS = {  # of the dense blocks, by depth
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
}
BOTTLENECK = 4  # width of a layer's 1x1 convolution, in growth rates


class DenseNet(nn.Sequential):
    """Every layer adds `growth_rate` channels; `num_downsamples` is 0 to 5, or "auto"."""

    def __init__(
        self,
        *,
        depth: int,
        growth_rate: int,
        num_channels: int,
        num_classes: int,
        length: int,
        num_downsamples: int | str,
    ) -> None:
        check_choice("depth", depth, LAYERS)
        check_signals(num_channels, num_classes, length)
        strides = keep_strides([2] * 5, num_downsamples, length)
        width = 2 * growth_rate
        layers: list[nn.Module] = [
            conv_norm(num_channels, width, 7, stride=strides[0]),
            halving_pool(strides[1]),
        ]
        for number, repeats in enumerate(LAYERS[depth]):
            if number > 0:
                layers += norm_relu_conv(width, width // 2, 1)
                layers.append(halving_pool(strides[number + 1], 2, nn.AvgPool1d))
                width //= 2
            for _ in range(repeats):
                layers.append(Concat(nn.Identity(), dense_layer(width, growth_rate)))
                width += growth_rate
        layers += [nn.BatchNorm1d(width), nn.ReLU()]
        super().__init__(*layers, pooled_classifier(width, num_classes))


def dense_layer(in_width: int, growth_rate: int) -> nn.Sequential:
    return nn.Sequential(
        *norm_relu_conv(in_width, BOTTLENECK * growth_rate, 1),
        *norm_relu_conv(BOTTLENECK * growth_rate, growth_rate, 3),
    )


def norm_relu_conv(in_width: int, out_width: int, kernel: int) -> list[nn.Module]:
    return [nn.BatchNorm1d(in_width), nn.ReLU(), conv(in_width, out_width, kernel)]
