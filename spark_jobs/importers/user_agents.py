"""What a browser's User-Agent says of the device, and whether it is a robot that says so itself."""

import re
from functools import lru_cache

from feature_repo.events import Device

_ROBOT = re.compile(
    r"bot\b|bot/|spider|crawl|slurp|archiver|facebookexternalhit|bingpreview|lighthouse|headless|phantomjs"
    r"|pingdom|uptime|monitor|healthcheck|kube-probe|curl/|wget/|python-requests|python-urllib|aiohttp"
    r"|go-http-client|java/|libwww|okhttp|httpclient|scrapy|feedfetcher|mediapartners",
    re.IGNORECASE,
)
_TABLET = re.compile(r"ipad|tablet|playbook|silk/|kindle|android(?!.*mobile)", re.IGNORECASE)
_MOBILE = re.compile(r"mobi|iphone|ipod|android|windows phone|blackberry|opera mini", re.IGNORECASE)
_DESKTOP = re.compile(r"windows|macintosh|mac os x|x11|linux|cros", re.IGNORECASE)


@lru_cache(maxsize=1 << 14)
def device_of(user_agent: str) -> Device | None:
    """None where there is no User-Agent to judge by."""
    if not user_agent or user_agent == "-":
        return None
    for pattern, device in ((_TABLET, "tablet"), (_MOBILE, "mobile"), (_DESKTOP, "desktop")):
        if pattern.search(user_agent):
            return device
    return "other"


@lru_cache(maxsize=1 << 14)
def is_robot(user_agent: str) -> bool:
    return _ROBOT.search(user_agent) is not None
