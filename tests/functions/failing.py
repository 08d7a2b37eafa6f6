"""The function, with a part that raises an unexpected error."""

from dataclasses import replace
from typing import NoReturn

import main
from livetoken.callers import Callers


class Failing(Callers):
    async def identify(self, token: str) -> NoReturn:
        raise RuntimeError(f"a secret: {token}")


main.service = replace(main.service, callers=Failing({}))
mint_token = main.mint_token
