"""Decodes transactions with the protobufs of the official SDK: a transaction in hex on each line in, a line of JSON out.

An unknown field is an error, and so are bytes that the SDK would encode otherwise.
"""

import json
import sys

from allora_sdk.rpc_client.protos.cosmos.crypto.secp256k1 import PubKey
from allora_sdk.rpc_client.protos.cosmos.tx.v1beta1 import AuthInfo, TxBody, TxRaw
from allora_sdk.rpc_client.protos.emissions import v9, v10

MESSAGES = {
    "/emissions.v10.InsertWorkerPayloadRequest": v10.InsertWorkerPayloadRequest,
    "/emissions.v10.RegisterRequest": v10.RegisterRequest,
    "/emissions.v9.InsertWorkerPayloadRequest": v9.InsertWorkerPayloadRequest,
    "/emissions.v9.RegisterRequest": v9.RegisterRequest,
}


def parse(kind, data):
    message = kind.parse(bytes(data))
    if bytes(message) != bytes(data):
        sys.exit(f"the SDK writes {kind.__name__} otherwise: {bytes(message).hex()} for {bytes(data).hex()}")
    return message


def of_inference(inference):
    return {
        "topic_id": inference.topic_id,
        "block_height": inference.block_height,
        "inferer": inference.inferer,
        "value": inference.value,
        "extra_data": inference.extra_data.hex(),
        "proof": inference.proof,
        "values": [[labeled.label, labeled.value] for labeled in getattr(inference, "values", [])],
    }


def of_forecast(forecast):
    return {
        "topic_id": forecast.topic_id,
        "block_height": forecast.block_height,
        "forecaster": forecast.forecaster,
        "elements": [[element.inferer, element.value] for element in forecast.forecast_elements],
        "extra_data": forecast.extra_data.hex(),
    }


def of_message(message):
    if not hasattr(message, "worker_data_bundle"):
        return {
            "sender": message.sender,
            "topic_id": message.topic_id,
            "owner": message.owner,
            "is_reputer": message.is_reputer,
        }
    data = message.worker_data_bundle
    bundle = data.inference_forecasts_bundle
    return {
        "sender": message.sender,
        "worker": data.worker,
        "nonce": data.nonce.block_height,
        "topic_id": data.topic_id,
        "inference": of_inference(bundle.inference),
        "forecast": of_forecast(bundle.forecast) if bundle.forecast is not None else None,
        "bundle": bytes(bundle).hex(),
        "signature": data.inferences_forecasts_bundle_signature.hex(),
        "pubkey": data.pubkey,
    }


def of_transaction(data):
    raw = parse(TxRaw, data)
    body, auth = parse(TxBody, raw.body_bytes), parse(AuthInfo, raw.auth_info_bytes)
    (any_message,), (signer,) = body.messages, auth.signer_infos
    message = parse(MESSAGES[any_message.type_url], any_message.value)
    return {
        "type_url": any_message.type_url,
        "message": of_message(message),
        "memo": body.memo,
        "timeout_height": body.timeout_height,
        "public_key_type": signer.public_key.type_url,
        "public_key": parse(PubKey, signer.public_key.value).key.hex(),
        "sign_mode": int(signer.mode_info.single.mode),
        "sequence": signer.sequence,
        "fee": [[coin.amount, coin.denom] for coin in auth.fee.amount],
        "gas_limit": auth.fee.gas_limit,
        "payer": auth.fee.payer,
        "granter": auth.fee.granter,
        "signatures": [signature.hex() for signature in raw.signatures],
    }


for line in sys.stdin:
    print(json.dumps(of_transaction(bytes.fromhex(line))), flush=True)
