"""The official SDK's own worker on a chain: python worker.py GRPC_URL CHAIN_ID MNEMONIC VALUE...

Runs the whole loop (register, poll, submit, wait) until each value was submitted once, then asks the chain what it stored. Prints a
line of JSON for each submission and one for what was read back.
"""

import asyncio
import json
import sys

from allora_sdk.rpc_client.config import AlloraNetworkConfig, AlloraWalletConfig
from allora_sdk.rpc_client.protos.emissions.v10 import GetLatestNetworkInferencesRequest
from allora_sdk.worker import AlloraWorker

TOPIC = 67


def say(**line):
    print(json.dumps(line), flush=True)


async def main(url, chain_id, mnemonic, values):
    left = list(values)
    worker = AlloraWorker.inferer(
        run=lambda context: left.pop(0),
        wallet=AlloraWalletConfig(mnemonic=mnemonic),
        network=AlloraNetworkConfig(
            chain_id=chain_id,
            url=url,
            # Nobody is there: the worker polls.
            websocket_url="ws://127.0.0.1:1/websocket",
            fee_minimum_gas_price=10,
        ),
        topic_id=TOPIC,
        polling_interval=1,
        show_banner=False,
    )
    async for result in worker.run():
        if isinstance(result, Exception):
            say(error=repr(result))
            sys.exit(1)
        response = result.tx_result
        say(submitted=str(result.submission), hash=response.txhash, height=response.height, code=response.code)
        if not left:
            break
    latest = await worker.client.emissions.query.get_latest_network_inferences(
        GetLatestNetworkInferencesRequest(topic_id=TOPIC)
    )
    inferers = latest.network_inferences.inferer_values
    say(
        read_back={inferer.worker: [value.value for value in inferer.values] for inferer in inferers},
        nonce=latest.inference_block_height,
    )
    worker.stop()


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
