# The edge on Render: the official Caddy with a configuration. Render builds it, and ends TLS before it.
FROM caddy:2
COPY Caddyfile /etc/caddy/Caddyfile
USER 65534
ENV XDG_DATA_HOME=/tmp XDG_CONFIG_HOME=/tmp
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
