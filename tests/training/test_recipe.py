import pytest
import yaml

from starnet.errors import ConfigError
from starnet.preprocess import ChipMedian, Pipeline
from starnet.training import Recipe, TrainingConfig, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_package_loads_and_round_trips(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.about.endswith(".")
    assert Recipe.from_dict(yaml.safe_load(yaml.safe_dump(recipe.to_dict()))) == recipe


def test_the_2018_recipe_is_that_of_the_paper():
    recipe = load_recipe("starnet-2018")
    training = recipe.training
    assert (training.lr, training.batch_size, training.epochs) == (7e-4, 32, 30)
    assert (training.patience, training.min_delta, training.lr_floor) == (4, 1e-4, 8e-5)
    assert recipe.networks[0]["filters"] == [4, 16]
    assert recipe.networks[0]["dense"] == [256, 128]


def test_settings_reach_recipe_and_training():
    recipe = Recipe().with_settings(epochs=3, seed=5, copies=2, labels=("teff",))
    assert (recipe.training.epochs, recipe.seed, recipe.copies) == (3, 5, 2)
    assert recipe.labels == ("teff",)
    with pytest.raises((ConfigError, TypeError)):
        Recipe().with_settings(epoch=3)


def test_a_recipe_from_a_file(tmp_path):
    recipe = Recipe(
        name="mine",
        preprocess=Pipeline((ChipMedian(),)),
        training=TrainingConfig(optimizer="adamw", weight_decay=0.1),
    )
    assert load_recipe(recipe.save(tmp_path / "mine.yaml")) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("networks: []", "family"),
        ("epochs: 3", "no setting 'epochs'"),
        ("training: {epoch: 3}", "no setting 'epoch'"),
        ("training: {lr: fast}", "lr must be a number"),
        ("preprocess: {transform: Unknown}", "no transform"),
        ("copies: 0", "copies must be 1"),
        ("- a\n- b", "settings with names"),
        ("a: [", "read as YAML"),
    ],
)
def test_wrong_recipes_are_refused_with_what_was_wrong(tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(path)


def test_an_unknown_name_lists_those_that_are_there():
    with pytest.raises(ConfigError, match="starnet-2018"):
        load_recipe("starnet-2081")
