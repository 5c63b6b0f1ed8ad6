"""Where the API server is and who we are there, as the official client library finds out.

Inside a pod that is the service account (its token file is read anew every minute, as the library does it), outside
a kubeconfig with client certificates, tokens or exec plugins.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kubernetes.client import Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config


class _Loaded(Protocol):
    host: str
    ssl_ca_cert: str | None
    cert_file: str | None
    key_file: str | None
    verify_ssl: bool

    def auth_settings(self) -> Mapping[str, Mapping[str, str]]: ...


@dataclass(frozen=True)
class Credentials:
    """A server and an identity. `authorization` may change between two requests."""

    _loaded: _Loaded

    @property
    def server(self) -> str:
        """Address such as https://10.96.0.1:443, without a slash at its end."""
        return self._loaded.host.rstrip("/")

    @property
    def ca_path(self) -> str | None:
        """File of the authority that signed the server's certificate; None: the system's."""
        return self._loaded.ssl_ca_cert

    @property
    def certificate_path(self) -> str | None:
        """Our client certificate; None when a token is used."""
        return self._loaded.cert_file

    @property
    def key_path(self) -> str | None:
        """Private key of the client certificate."""
        return self._loaded.key_file

    @property
    def is_insecure(self) -> bool:
        """The kubeconfig says not to verify the server; never so inside a pod."""
        return not self._loaded.verify_ssl

    def authorization(self) -> str | None:
        """The Authorization header for the next request, refreshed when due; None with a client certificate.

        Raises:
            OSError: there is no token at the moment: its file is empty or gone, or the plugin that makes it fails.
        """
        try:
            found = next(iter(self._loaded.auth_settings().values()), None)
        except ConfigException as error:
            raise OSError(str(error)) from error
        return found["value"] if found is not None else None

    def ssl_context(self) -> ssl.SSLContext:
        """For the shared session."""
        context = ssl.create_default_context(cafile=self.ca_path)
        if self.is_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_path:
            context.load_cert_chain(self.certificate_path, self.key_path)
        return context


def load(kubeconfig: str | None, context: str | None = None) -> Credentials:
    """Credentials from the given kubeconfig, else from the pod, else from the user's default kubeconfig.

    `context`: of the kubeconfig; None: its current one.

    Raises:
        kubernetes.config.ConfigException: nothing usable was found.
    """
    configuration = Configuration()
    if kubeconfig is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        load_incluster_config(client_configuration=configuration)
    else:
        load_kube_config(config_file=kubeconfig, context=context, client_configuration=configuration)
    return Credentials(configuration)
