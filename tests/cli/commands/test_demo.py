from pathlib import Path

from typer.testing import CliRunner

from paecli.cli.app import app


def test_unknown_settings_are_refused_before_any_training(tmp_path: Path) -> None:
    config = tmp_path / "changes.yaml"
    config.write_text("autoencoder:\n  epoch: 3\n")
    result = CliRunner().invoke(
        app, ["demo", "--config", str(config), "--out", str(tmp_path / "d")]
    )
    assert result.exit_code == 1
    assert "epoch" in str(result.exception)
    assert not (tmp_path / "d").exists()


def test_help_says_what_it_takes() -> None:
    result = CliRunner().invoke(app, ["demo", "--help"])
    assert result.exit_code == 0
    assert "nothing is downloaded" in " ".join(result.stdout.split())
