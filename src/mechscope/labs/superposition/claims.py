"""The claims of step 01."""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition

_ELHAGE = "Elhage et al. (2022), “Toy models of superposition”"
_OURS = f"{_ELHAGE}; the numbers were measured for this project"

CLAIMS = (
    Claim(
        id="1.1",
        statement="Without sparsity the model does what principal components do: one feature for each dimension, the "
        "most important ones.",
        paper="exactly m = 5 of 20",
        source=_OURS,
        tag="P",
        how="20 features of importance 0.7^i, all present all the time, 5 hidden dimensions; count ‖W_i‖ > 1/2 in "
        "every random start.",
        conditions=(
            Condition("dense_fewest", "fewest in any start", low=5, high=5),
            Condition("dense_most", "most in any start", low=5, high=5),
        ),
    ),
    Claim(
        id="1.2",
        statement="The sparser the features, the more of them are represented in the same five dimensions.",
        paper="5, 8, 9, 10, 11, 13, 14 at 1 − S = 1, .3, .1, .03, .01, .003, .001",
        source=_OURS,
        tag="P",
        how="The same models at seven densities; the median over the random starts of each density.",
        conditions=(
            Condition("count_smallest_rise", "smallest rise from one density to the next", low=0),
            Condition("count_off_by", "furthest from the paper's count", high=2, unit="features"),
        ),
    ),
    Claim(
        id="1.3",
        statement="Five features in a plane: two are represented if all are dense, all five if they are sparse.",
        paper="2 → 5",
        source=_OURS,
        tag="C",
        how="Importance 0.9^i, ten densities 20^−linspace(0, 1); the start with the lowest loss; first and last "
        "density.",
        conditions=(
            Condition("intro_dense", "features at density 1", low=2, high=2),
            Condition("intro_sparse", "features at density 0.05", low=5, high=5),
        ),
    ),
    Claim(
        id="1.4",
        statement="Five equal sparse features in a plane form a regular pentagon: each has 2/5 of a dimension.",
        paper="D = 2/5, 72° apart; 36 of 40 seeds",
        source=_OURS,
        tag="P",
        how="Importance 1, density 0.05. A start counts if all five |D_i − 0.4| < 0.03. Depends on the start: the "
        "share of 40 starts. Angles between neighbours in the start with the lowest loss (its bound of 5° is ours).",
        conditions=(
            Condition("pentagons", "starts that are pentagons", low=75, unit="%"),
            Condition("pentagon_starts", "starts", low=10),
            Condition("pentagon_angle_off", "largest distance of an angle from 72°", high=5, unit="°"),
        ),
    ),
    Claim(
        id="1.5",
        statement="Two features, one dimension: whether they share it changes in a phase transition, where the closed "
        "form predicts.",
        paper="p* = 4I/(2 + 5I) for I ≤ 1, 4/(5 + 2I) for I ≥ 1; trained transitions at 1.1 to 1.6 p*",
        source=f"{_ELHAGE} for the phase diagram; the closed form is derived in this lab",
        tag="P",
        how="Nine importances from 0.1 to 10, densities at multiples of p*, best of several starts. At I = 1, where "
        "1.7 p* nearly fills the range, p ≥ 0.9 counts as above.",
        conditions=(
            Condition("below_antipodal", "antipodal at 0.8 p* and below", low=100, unit="%"),
            Condition("above_ignored", "less important one ignored at 1.7 p* and above", low=100, unit="%"),
            Condition("settings_below", "settings below", low=18),
            Condition("settings_above", "settings above", low=9),
        ),
    ),
    Claim(
        id="1.6",
        statement="Dimensions per feature form plateaus: at 1 if all features are dense, at 1/2 over a range of "
        "densities, where features come in antipodal pairs.",
        paper="≥ 90 % of represented features within .02 of 1/2 at 1 − S from .3 to .55; m/‖W‖² = 1 if dense",
        source=_OURS,
        tag="P",
        how="Equally important features in 20 dimensions; D_i of all represented features at densities 0.35 to 0.5. "
        "The bound of .02 on the dense plateau is ours.",
        conditions=(
            Condition("at_half", "represented features with D within .02 of 1/2", low=90, unit="%"),
            Condition("D_star_dense", "m/‖W‖² at density 1", low=0.98, high=1.02),
        ),
    ),
    Claim(
        id="1.7a",
        statement="Between the plateaus, features form separate small polytopes: pairs, pentagons, square antiprisms.",
        paper="D clusters at 1/2, 2/5, 3/8",
        source=_OURS,
        tag="P",
        how="Features whose cosine exceeds 0.15 are joined; a group of k features spanning d dimensions, whose mean D "
        "is within .03 of d/k, counts. 100 equal features in 16 dimensions: 36 networks, densities 0.18 to 0.64, and "
        "the 20 of claim 1.7b. This size was chosen after a first one, the networks of claim 1.6, had shown no "
        "antiprism.",
        conditions=(
            Condition("shapes_1/2", "antipodal pairs (D = 1/2)", low=1),
            Condition("shapes_2/5", "pentagons (2/5)", low=1),
            Condition("shapes_3/8", "square antiprisms (3/8)", low=1),
        ),
    ),
    Claim(
        id="1.7b",
        statement="A rarer polytope, if features are present more often than not: triangles.",
        paper="D cluster at 2/3; best effort",
        source=_OURS,
        tag="P",
        how="As in 1.7a. The first search, in smaller batches at densities up to 0.72, found none. Then what each "
        "shape is worth was calculated, and 20 networks were trained with twice the batch where triangles and "
        "tetrahedra are worth most: densities 0.64, 0.66, 0.68, 0.8 and 0.9.",
        conditions=(Condition("shapes_2/3", "triangles (2/3)", low=1),),
    ),
    Claim(
        id="1.7c",
        statement="The rarest polytope: if four features share three dimensions and are present more often than not, a "
        "regular tetrahedron is the best arrangement; if they are sparser, it is not.",
        paper="D cluster at 3/4; loss .0961 against .0981 at density .65 and .0954 against .0953 at .9, 13 % worse "
        "than the best at .3 (measured for this project)",
        source=_OURS,
        tag="P",
        how="n = 4, m = 3; the lowest loss of many starts, one of them the tetrahedron, on 32,768 fresh quasi-random "
        "points. Densities 0.65, 0.7, 0.8 and 0.9, and 0.3 where features that stay in a tetrahedron with the best "
        "scale and bias are compared with the best start. Cosines are measured, because D is blind to sign.",
        conditions=(
            Condition("tetrahedron_off", "largest distance of a cosine from −1/3, best start", high=0.03),
            Condition("tetrahedron_lead", "lead over the next arrangement, least", low=0.01, unit="%"),
            Condition(
                "tetrahedron_sparse", "best loss at 0.3, minus the tetrahedron's", low=-16, high=-10, unit="%"
            ),
        ),
        needs="arrangements",
    ),
    Claim(
        id="1.8",
        statement="However the features arrange themselves, their dimensionalities add up to the number of dimensions.",
        paper="ΣD_i = m; 15.95 to 16.0 for m = 16",
        source=_OURS,
        tag="P",
        how="ΣD_i/m in every instance of claim 1.6's models, all densities; m = 20 here.",
        conditions=(
            Condition("packing_least", "smallest ΣD_i/m", low=99, high=101, unit="%"),
            Condition("packing_most", "largest ΣD_i/m", low=99, high=101, unit="%"),
        ),
    ),
    Claim(
        id="1.9",
        statement="Features that occur together get orthogonal directions; features that exclude each other, opposite "
        "ones.",
        paper="|cos| < .1 and cos < −.9",
        source=_ELHAGE,
        tag="P",
        how="Two pairs of features in a plane, density 0.05; the best of 20 starts by its loss.",
        conditions=(
            Condition("cos_correlated", "largest |cos| within a correlated pair", high=0.1),
            Condition("cos_anticorrelated", "largest cos within an anticorrelated pair", high=-0.9),
        ),
    ),
    Claim(
        id="1.10",
        statement="With a ReLU on the hidden layer, its units form a privileged basis: one feature each if features "
        "are dense, several if they are sparse.",
        paper="monosemantic at 1 − S ≥ .5; all polysemantic at .05 to .08",
        source=_ELHAGE,
        tag="P",
        how="h = ReLU(Wx), 10 features of importance 0.75^i, 5 units, the best of 100 starts (after a quarter of the "
        "training only the 15 with the lowest loss go on). Monosemantic: one feature has at least 90 % of the unit's "
        "squared weights (our threshold). Densities 1, .7, .5 and .08, .05.",
        conditions=(
            Condition("mono_dense", "monosemantic units at density 0.5 and above", low=100, unit="%"),
            Condition("poly_sparse", "polysemantic units at 0.05 and 0.08", low=100, unit="%"),
        ),
    ),
    Claim(
        id="1.11",
        statement="A network can compute in superposition: absolute values of more features than it has units for. The "
        "sparser they are, the fewer units are monosemantic.",
        paper="falls monotonically with sparsity",
        source=_ELHAGE,
        tag="P",
        how="100 signed features of importance 0.8^i, 40 ReLU units, untied weights; share of units in which one "
        "feature has 90 % of the squared input weights, mean over the starts, at six densities. The read-out starts "
        "without negative weights, so that no output begins where its ReLU is flat: with signs at random, training at "
        "the lower densities stays at several times the loss.",
        conditions=(
            Condition("abs_largest_rise", "largest rise from one density to the next", high=0, unit="%"),
            Condition(
                "abs_sparse",
                "share at the lowest density",
                high=0.5,
                than="abs_dense",
                than_what="share at the highest",
                unit="%",
            ),
        ),
    ),
    Claim(
        id="1.12",
        statement="Superposition makes networks vulnerable: the more features share a dimension, the more damage a "
        "small push does.",
        paper="more than 3 times as vulnerable as without superposition, and tracks 1/D*",
        source=_ELHAGE,
        tag="P",
        how="Pushes of 0.1 × the mean input norm along ±rows of WᵀW, the worst for each input; loss added ÷ push². The "
        "densities of claim 1.6's models. “Tracks”: correlation with ‖W‖²/m over the densities (its bound is ours).",
        conditions=(
            Condition(
                "vulnerability_most",
                "at the most vulnerable density",
                low=2.5,
                than="vulnerability_dense",
                than_what="dense",
            ),
            Condition("vulnerability_correlation", "correlation with features per dimension", low=0.9),
        ),
    ),
    Claim(
        id="1.13",
        statement="A single feature that is sparser than the others turns the pentagon into two pairs, and is left "
        "out.",
        paper="one feature 2.5 × sparser: two digons",
        source=_ELHAGE,
        tag="P",
        how="n = 5, m = 2, the others at density 0.1; where the losses of the two arrangements cross, each of them a "
        "start. The crossing depends on that density: at 0.05 the fifth feature has to be nearly four times sparser. "
        "Represented or not: its norm in the best of all starts. Null: 2.5 × denser instead.",
        conditions=(
            Condition("digon_crossing", "the losses cross where it is sparser by", low=2, high=3, unit="×"),
            Condition("digon_norm_equal", "its norm, as dense as the others", low=0.5),
            Condition("digon_norm_sparse", "its norm, 2.5 × sparser", high=0.5),
            Condition("digon_norm_denser", "its norm, 2.5 × denser", low=0.5),
        ),
        needs="arrangements",
    ),
    Claim(
        id="1.14a",
        statement="Pairs of features that occur together share one direction, their principal component, if they are "
        "dense, and have one each if they are sparse.",
        paper="collapse above density 0.5, none below 0.05",
        source=_ELHAGE,
        tag="P",
        how="n = 6 in three correlated pairs, m = 2, densities 0.7, 0.6, 0.03 and 0.02, best of many starts; "
        "collapsed: both represented, cosine above 0.9. Null: the same six features without correlation.",
        conditions=(
            Condition("pairs_collapsed_dense", "pairs collapsed above 0.5, fewest", low=3, unit="of 3"),
            Condition("pairs_collapsed_sparse", "pairs collapsed below 0.05, most", high=0, unit="of 3"),
            Condition("pairs_collapsed_alone", "collapsed without correlation, most", high=0, unit="of 3"),
        ),
        needs="arrangements",
    ),
    Claim(
        id="1.14b",
        statement="Two correlated triples form an octahedron, and opposite features come from different triples.",
        paper="antipodes come from different sets",
        source=_ELHAGE,
        tag="P",
        how="n = 6 in two triples, m = 3, densities 0.1 and 0.03; all starts whose loss is within 2 % of the lowest "
        "and that are octahedra. Null: the same six features without correlation, where the same should hold for 6 of "
        "the 15 ways to pair them.",
        conditions=(
            Condition("octahedra", "octahedra", low=2),
            Condition("octahedra_crossed", "with antipodes from different triples", low=100, unit="%"),
            Condition("octahedra_crossed_alone", "without correlation", high=80, unit="%"),
        ),
        needs="arrangements",
    ),
)
