"""Configurations that are compared, each as one Kinto INI that both servers read unmodified."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping

from .steps import HMAC_SECRET

BASICAUTH = {"multiauth.policies": "basicauth"}
ACCOUNTS = {
    "includes": "kinto.plugins.accounts kinto.plugins.flush",
    "multiauth.policies": "account",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "account_create_principals": "system.Everyone",
    "account_write_principals": "account:admin",
    "account_read_principals": "account:admin",
    "experimental_permissions_endpoint": "true",
    # Who guesses need not wait: Kinto has no such thing.
    "account_free_failures": "0",
    # In a debug build, more take seconds.
    "account_bcrypt_cost": "4",
}


@dataclass(frozen=True)
class Profile:
    """One configuration of both servers."""

    name: str
    settings: Mapping[str, str]
    #: Share of the random requests, relative to the other profiles; 0: scripted cases only.
    weight: int = 0
    #: What random sequences use, beyond what every server has.
    features: frozenset[str] = field(default_factory=frozenset)
    #: Settings while the case `prepare` runs, before both servers start with `settings`.
    prepare: Mapping[str, str] | None = None

    @property
    def policy(self) -> str:
        """The policy that makes user ids."""
        return self.settings.get("multiauth.policies", "basicauth").split()[0]

    @property
    def has_fixed_names(self) -> bool:
        """Whether settings name users or buckets, so that runs cannot have names of their own."""
        values = " ".join([*self.settings, *self.settings.values()])
        fixed = any(name in values for name in ("basicauth:", "/buckets/", "b.c2."))
        return fixed or self.policy == "account" or self.prepare is not None

    def ini(self, port: int, storage_url: str, preparing: bool = False) -> str:
        """The file. `storage_url` is Kinto's; the writer's comes from its environment."""
        lines = [
            "[server:main]",
            "use = egg:waitress#main",
            "host = 127.0.0.1",
            f"port = {port}",
            "threads = 2",
            "",
            "[app:main]",
            "use = egg:kinto",
            "kinto.project_name = compat",
            "kinto.project_version = 1.0",
            "kinto.project_docs = https://example.com/",
        ]
        for backend in ("storage", "permission", "cache"):
            lines.append(f"kinto.{backend}_backend = kinto.core.{backend}.postgresql")
            lines.append(f"kinto.{backend}_url = {storage_url}")
        settings = {"userid_hmac_secret": HMAC_SECRET, **self.settings}
        if preparing and self.prepare:
            settings.update(self.prepare)
        for name, value in settings.items():
            prefix = "" if name.startswith("multiauth.") else "kinto."
            lines.append(f"{prefix}{name} = {value}")
        return "\n".join(lines) + "\n"

    def write(self, file: Path, port: int, storage_url: str, preparing: bool) -> None:
        """Writes the file."""
        file.write_text(self.ini(port, storage_url, preparing), encoding="utf-8")


FLUSH = {"includes": "kinto.plugins.flush"}

PROFILES = (
    Profile("core", {**BASICAUTH, **FLUSH}, weight=12),
    Profile(
        "schema",
        {
            **BASICAUTH,
            **FLUSH,
            "experimental_collection_schema_validation": "true",
            "experimental_permissions_endpoint": "true",
        },
        weight=3,
        features=frozenset({"schema", "permissions"}),
    ),
    Profile(
        "history",
        {
            **BASICAUTH,
            "includes": "kinto.plugins.default_bucket kinto.plugins.history kinto.plugins.flush",
            "default_bucket_hmac_secret": "9rzkJh2J",
        },
        weight=4,
        features=frozenset({"history", "default_bucket"}),
    ),
    Profile("accounts", ACCOUNTS, weight=2, features=frozenset({"accounts"})),
    Profile(
        "paginate",
        {**BASICAUTH, **FLUSH, "paginate_by": "3", "batch_max_requests": "10"},
        weight=3,
        features=frozenset({"pagination"}),
    ),
    Profile(
        "acls",
        {
            **BASICAUTH,
            **FLUSH,
            "bucket_create_principals": "basicauth:1acf66711624a550fce894b050abb3e9270a7c3fdd5e99bb8"
            "e5b9f8c8143c813",
            "bucket_read_principals": "system.Authenticated",
            "collection_create_principals": "system.Authenticated",
            "group_write_principals": "basicauth:2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451b"
            "e8cd3f071bf0b7",
            "record_read_principals": "system.Everyone",
            "record_create_principals": "system.Authenticated",
        },
    ),
    Profile(
        "write-acls",
        {
            **BASICAUTH,
            **FLUSH,
            "bucket_write_principals": "basicauth:2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451"
            "be8cd3f071bf0b7",
            "collection_write_principals": "system.Authenticated",
            "record_write_principals": "basicauth:2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451"
            "be8cd3f071bf0b7",
            "explicit_permissions": "false",
        },
    ),
    Profile(
        "headers",
        {
            **BASICAUTH,
            **FLUSH,
            "backoff": "10",
            "retry_after_seconds": "7",
            "eos": "2099-01-01",
            "eos_message": "Bye",
            "eos_url": "https://example.com/eos",
            "cors_origins": "https://a.example.com https://*.example.org",
            "cors_max_age_seconds": "120",
            "record_cache_expires_seconds": "60",
            "bucket_cache_expires_seconds": "0",
            "b.c2.record_cache_expires_seconds": "90",
            "version_prefix_redirect_ttl_seconds": "0",
            "trailing_slash_redirect_ttl_seconds": "-1",
            "http_scheme": "https",
            "http_host": "settings.example.com",
            "object_record_patch_enabled": "false",
            "plural_group_get_enabled": "false",
        },
    ),
    Profile(
        "no-redirects",
        {
            **BASICAUTH,
            **FLUSH,
            "version_prefix_redirect_enabled": "false",
            "trailing_slash_redirect_enabled": "false",
            "history.exclude_user_ids": "system.Nobody",
        },
    ),
    Profile(
        "trimmed-history",
        {
            **BASICAUTH,
            "includes": "kinto.plugins.history kinto.plugins.flush",
            "history.exclude_resources": "/buckets/x /buckets/b/collections/secret",
            "history.auto_trim_max_count": "3",
            "history.auto_trim_threshold": "2",
        },
    ),
    Profile(
        "readonly",
        {**BASICAUTH, "readonly": "true"},
        prepare={"readonly": "false"},
    ),
)


def by_name(names: str | None) -> list[Profile]:
    """The profiles named, separated by commas; all of them without names."""
    if not names:
        return list(PROFILES)
    known = {profile.name: profile for profile in PROFILES}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise SystemExit(f"unknown profile {unknown[0]}: there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]
