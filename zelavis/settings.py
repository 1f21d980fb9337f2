"""Django's settings. Wiring only: what an operator may change is read in ``zelavis.environment``."""

from __future__ import annotations

import sys

from zelavis import environment

try:
    ENVIRONMENT = environment.read()
except environment.ConfigurationError as error:
    sys.exit(f"zelavis: {error}")

BASE_DIR = environment.BASE_DIR
DATA_DIR = ENVIRONMENT.data_dir
SECRET_KEY = ENVIRONMENT.secret_key
DEBUG = ENVIRONMENT.debug
ALLOWED_HOSTS = list(ENVIRONMENT.allowed_hosts) or ["localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = list(ENVIRONMENT.trusted_origins)

INSTALLED_APPS = [
    "zelavis.admin.apps.ZelavisAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sites",
    "django.contrib.flatpages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "django_celery_beat",
    "sandbox.apps.SandboxConfig",
    "marketplace.apps.MarketplaceConfig",
    "zelavis.apps.ZelavisConfig",
    "runs.apps.RunsConfig",
]
MIDDLEWARE = [
    "zelavis.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "zelavis.middleware.SecurityHeadersMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "zelavis.middleware.ProblemMiddleware",
]
ROOT_URLCONF = "zelavis.urls"
WSGI_APPLICATION = "zelavis.wsgi.application"
ASGI_APPLICATION = "zelavis.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "zelavis" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

SANDBOX_SLOTS = ENVIRONMENT.sandbox_slots
SANDBOX_LEDGER = ENVIRONMENT.sandbox_ledger
SANDBOX_LEDGER_SAMPLE = ENVIRONMENT.sandbox_ledger_sample
SANDBOX_LEDGER_DAYS = ENVIRONMENT.sandbox_ledger_days
SANDBOX_CEILINGS = ENVIRONMENT.sandbox_ceilings
SANDBOX_LOOPBACK_HOSTS = ENVIRONMENT.sandbox_loopback_hosts
SANDBOX_TAPE_SAMPLE = ENVIRONMENT.sandbox_tape_sample
SANDBOX_TAPE_DAYS = ENVIRONMENT.sandbox_tape_days

DATABASES = {"default": ENVIRONMENT.database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# SQLite transactions are IMMEDIATE: a request-long one would hold the write lock through every read.
ATOMIC_REQUESTS = False

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
SITE_ID = 1
LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
MEDIA_ROOT = DATA_DIR / "blobs"
WHITENOISE_USE_FINDERS = ENVIRONMENT.embedded
WHITENOISE_AUTOREFRESH = DEBUG

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENVIRONMENT.public_url.startswith("https") else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.public_url.startswith("https")
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20

CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    if not ENVIRONMENT.broker_url.startswith("redis")
    else {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": ENVIRONMENT.broker_url,
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 2},
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["zelavis.api.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["zelavis.api.permissions.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["zelavis.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "zelavis.api.operations.OperationSchema",
    "DEFAULT_PAGINATION_CLASS": "zelavis.api.pagination.NewestFirst",
    "EXCEPTION_HANDLER": "zelavis.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNICODE_JSON": True,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Zelavis",
    "DESCRIPTION": "Curated plugins, activation through adapters, and durable runs.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api",
    "POSTPROCESSING_HOOKS": ["zelavis.api.schema.complete"],
}

# Celery: a message is a doorbell. What is to be done stands in the database.
CELERY_BROKER_URL = ENVIRONMENT.broker_url
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"polling_interval": 0.02}
    if ENVIRONMENT.broker_url.startswith("memory")
    # A broker that is away costs a bell milliseconds, not the six seconds of kombu's own retries.
    else {"visibility_timeout": 600, "max_retries": 1, "interval_start": 0, "interval_step": 0.05, "interval_max": 0.05}
)
if ENVIRONMENT.broker_url.startswith("redis"):
    # One that takes everything and answers nothing must not hold up whoever rings.
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"socket_connect_timeout": 1, "socket_timeout": 2, "socket_keepalive": True}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "runs.scheduler:AlarmScheduler"
DJANGO_CELERY_BEAT_TZ_AWARE = True
# Static jobs, put into the database by beat, where the admin can see and pause them. What has a due time of its own is
# no job: it is a row, and `zelavis.wakeups` tells beat of it.
# Messages expire by the worker's clock, so that an hour between two hosts' clocks must not matter.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    "zelavis: sign of life": {"task": "zelavis.tasks.sign_of_life", "schedule": 15, "options": {"expires": 7200}},
    "runs: retention": {"task": "runs.tasks.retire", "schedule": 3600, "options": {"expires": 7200}},
    "zelavis: retention of the sandbox": {"task": "zelavis.tasks.prune_sandbox", "schedule": 3600},
    "zelavis: chain of the audit log": {"task": "zelavis.tasks.seal_audit", "schedule": 60},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "zelavis.logs.RequestIdFilter"}},
    "formatters": {
        "text": {"()": "zelavis.logs.TextFormatter"},
        "json": {"()": "zelavis.logs.JSONFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["request"],
            "formatter": ENVIRONMENT.log_format,
        }
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        **{
            name: {"level": ENVIRONMENT.log_level, "handlers": ["console"], "propagate": False}
            for name in ("zelavis", "marketplace", "sandbox", "runs")
        },
        # Our own middleware reports refused requests, with their code.
        "django.request": {"level": "ERROR"},
    },
}
