from __future__ import annotations

import base64
import io
import json
import struct
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from serving.errors import ServingError
from serving.model import HttpRequest
from serving.v2 import NUMPY_TYPES
from tests.transformer.images import encode, noise, seven
from transformer.classification.options import ClassificationOptions
from transformer.data_url import decode_text
from transformer.pictures.payload import Payload, PayloadReader
from transformer.pictures.polarity import Polarity

LIMIT = 4
PNG = encode(seven())
B64 = base64.b64encode(PNG).decode()


def v1(
    body: object, content_type: str | None = "application/json", query: str = "", limit: int = LIMIT
) -> Payload:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if content_type is None else {"content-type": content_type}
    reader = PayloadReader(limit, 32 << 20, ClassificationOptions)
    return reader.read_v1(HttpRequest(raw, headers, query))


def v2(document: object, blob: bytes = b"", query: str = "", limit: int = LIMIT) -> Payload:
    head = json.dumps(document).encode()
    headers = {"content-type": "application/octet-stream" if blob else "application/json"}
    if blob:
        headers["inference-header-content-length"] = str(len(head))
    reader = PayloadReader(limit, 32 << 20, ClassificationOptions)
    return reader.read_v2(HttpRequest(head + blob, headers, query))


def v2_input(texts: list[Any], **changes: object) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    return {"inputs": [{**tensor, **changes}]}


def v2_binary(elements: list[bytes]) -> tuple[dict[str, Any], bytes]:
    blob = b"".join(struct.pack("<I", len(e)) + e for e in elements)
    tensor = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [len(elements)],
        "parameters": {"binary_data_size": len(blob)},
    }
    return {"inputs": [tensor]}, blob


def refused(call: Any, *arguments: Any, **options: Any) -> tuple[int, str, int | None, str]:
    with pytest.raises(ServingError) as caught:
        call(*arguments, **options)
    error = caught.value
    return error.status, error.error_code, error.instance, error.message


INSTANCES: list[Any] = [
    {"base64": B64},
    {"b64": B64},
    {"image": {"b64": B64}},
    {"image": {"base64": B64}},
    {"image_bytes": {"b64": B64}},
    {"image_bytes": B64},
    {"image": B64},
    {"data": B64},
    B64,
    f"data:image/png;base64,{B64}",
    {"b64": f"data:image/png;base64,{B64}"},
    {"image": {"b64": f"data:;base64,{B64}"}},
    {"base64": f"data:image/png;charset=utf-8;name=a.png;base64,{B64}"},
    {"base64": f'DATA:image/png;name="a%2Cb.png";BASE64,{quote(B64, safe="")}'},
    "data:," + quote(PNG),
]


@pytest.mark.parametrize("instance", INSTANCES)
def test_every_form_of_instance_gives_the_same_bytes(instance: object) -> None:
    assert v1({"instances": [instance]}).images == [PNG]
    assert v1({"instances": [instance]}).options == ClassificationOptions(polarity=Polarity.AUTO)


@pytest.mark.parametrize("instance", [item for item in INSTANCES if isinstance(item, dict)])
def test_an_instance_can_be_the_whole_body(instance: object) -> None:
    assert v1(instance).images == [PNG]


def test_forms_can_be_mixed_and_keep_their_order(random: np.random.Generator) -> None:
    pictures = [encode(Image.fromarray(noise(random, 4, 4))) for _ in range(4)]
    texts = [base64.b64encode(picture).decode() for picture in pictures]
    body = [{"b64": texts[0]}, texts[1], {"image": {"b64": texts[2]}}, {"base64": texts[3]}]
    assert v1({"instances": body}).images == pictures


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        "application/vnd.kserve+json",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "text/plain",
    ],
)
def test_json_is_read_under_many_content_types(content_type: str | None) -> None:
    assert v1({"instances": [{"base64": B64}]}, content_type).images == [PNG]
    assert v1({"base64": B64}, content_type).images == [PNG]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_raw_body_is_an_image(kind: str, declared: bool) -> None:
    body = encode(seven().convert("RGB"), kind)
    for content_type in (
        [f"image/{kind.lower()}", f"IMAGE/{kind}; q=1"]
        if declared
        else [None, "application/octet-stream", "application/x-www-form-urlencoded"]
    ):
        payload = v1(body, content_type)
        assert payload.images == [body]
        assert payload.request is None


def test_options_come_with_a_raw_image_from_the_query() -> None:
    options = v1(PNG, "image/png", "top_k=5&polarity=dark-on-light").options
    assert options == ClassificationOptions(top_k=5, polarity=Polarity.DARK_ON_LIGHT)


def test_parameters_of_the_body_outrank_the_query() -> None:
    body = {"instances": [B64], "parameters": {"top_k": 2}}
    options = v1(body, query="top_k=7&polarity=light-on-dark").options
    assert options == ClassificationOptions(top_k=2, polarity=Polarity.LIGHT_ON_DARK)


def test_null_parameters_are_no_parameters() -> None:
    assert v1({"instances": [B64], "parameters": None}).options == ClassificationOptions()
    assert (
        v1({"instances": [B64], "parameters": {"top_k": None}}).options == ClassificationOptions()
    )


def test_parameters_stand_beside_a_single_instance() -> None:
    payload = v1({"base64": B64, "parameters": {"top_k": 1, "polarity": "auto"}})
    assert payload.images == [PNG]
    assert payload.options == ClassificationOptions(top_k=1, polarity=Polarity.AUTO)


@pytest.mark.parametrize("element", [B64, f"data:image/png;base64,{B64}"])
def test_v2_json_holds_base64(element: str) -> None:
    payload = v2(v2_input([element, B64]))
    assert payload.images == [PNG, PNG]
    assert payload.request is not None
    assert payload.request.inputs[0].name == "image"


def test_v2_json_may_be_nested() -> None:
    assert v2(v2_input([[B64], [B64]], shape=[2, 1])).images == [PNG, PNG]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_v2_binary_holds_images_or_base64(kind: str) -> None:
    picture = encode(seven().convert("RGB"), kind)
    head, blob = v2_binary([picture, base64.b64encode(picture), b"data:;base64," + B64.encode()])
    assert v2(head, blob).images == [picture, picture, PNG]


def test_v2_options_come_from_parameters_and_query() -> None:
    document = {**v2_input([B64]), "parameters": {"top_k": 2, "sequence_id": 3}}
    assert v2(document, query="polarity=light-on-dark").options == ClassificationOptions(
        top_k=2, polarity=Polarity.LIGHT_ON_DARK
    )


UNREADABLE_BASE64 = {
    "not base64 at all": ("!!!!", "not valid base64"),
    "unpadded": (base64.b64encode(b"some bytes").decode().rstrip("="), "not padded"),
    "url safe": (base64.urlsafe_b64encode(b"\xfb\xff" * 9).decode(), "URL-safe"),
    "line breaks": (B64[:76] + "\n" + B64[76:], "base64 -w0"),
    "a trailing newline": (B64 + "\n", "base64 -w0"),
    "spaces": (B64[:4] + " " + B64[4:], "line breaks or spaces"),
    "padding inside": ("QUI=" + B64, "not valid base64"),
    "no ASCII": ("ÄÖÜß", "not valid base64"),
    "empty": ("", "empty"),
    "an empty data URL": ("data:image/png;base64,", "empty"),
    "a data URL without data": ("data:image/png;base64", "comma"),
}


@pytest.mark.parametrize("fault", UNREADABLE_BASE64)
def test_base64_is_strict_and_names_the_instance(fault: str) -> None:
    text, expected = UNREADABLE_BASE64[fault]
    for instance in (text, {"b64": text}, {"image": {"b64": text}}, {"image": text}):
        status, code, index, message = refused(v1, {"instances": [B64, instance, B64]})
        assert (status, code, index) == (400, "invalid_base64", 1)
        assert expected in message
        assert text == "" or text not in message
    status, code, index, message = refused(v1, {"base64": text})
    assert (status, code, index) == (400, "invalid_base64", None)
    status, code, index, message = refused(v2, v2_input([B64, B64, text]))
    assert (index, status < 500) == (2, True)


@pytest.mark.parametrize("size", range(1, 9))
def test_decoding_undoes_encoding(size: int) -> None:
    data = bytes(range(250, 250 + size)) if size < 6 else bytes(size)
    assert decode_text(base64.b64encode(data).decode(), None) == data


def test_no_instances() -> None:
    assert refused(v1, {"instances": []})[:3] == (422, "invalid_request", None)
    assert refused(v2, v2_input([]))[:3] == (422, "invalid_request", None)
    assert refused(v1, {})[:3] == (422, "invalid_request", None)
    assert refused(v1, {"parameters": {"top_k": 1}})[:3] == (422, "invalid_request", None)


def test_too_many_instances_are_refused_before_they_are_decoded() -> None:
    assert len(v1({"instances": [B64] * LIMIT}).images) == LIMIT
    status, code, _, message = refused(v1, {"instances": ["!"] * (LIMIT + 1)})
    assert (status, code) == (413, "too_many_instances")
    assert "5 instances" in message
    assert "limit is 4" in message
    assert refused(v2, v2_input(["!"] * (LIMIT + 1)))[:2] == (413, "too_many_instances")


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"instances": [}', b"base64=abc", b"[" * 200, b'"\\ud800"']
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    assert refused(v1, body)[:3] == (400, "malformed_request", None)
    assert refused(v1, body, None)[:3] == (400, "malformed_request", None)


def test_bytes_of_no_known_kind_are_no_image() -> None:
    assert refused(v1, b"\xff\xfe")[:2] == (400, "malformed_request")
    for brand in (b"mp42", b"heic"):
        body = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand + b"\x80" * 64
        for content_type in (None, "application/octet-stream"):
            assert refused(v1, body, content_type)[:2] == (415, "not_an_image")


def form_of(name: str, content: bytes, **fields: str) -> bytes:
    parts = [(f'form-data; name="{k}"', v.encode()) for k, v in fields.items()]
    parts.append((f'form-data; name="{name}"; filename="a.png"', content))
    head = "--x\r\nContent-Disposition: {}\r\n\r\n"
    return b"".join(head.format(d).encode() + c + b"\r\n" for d, c in parts) + b"--x--\r\n"


FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize("name", ["file", "image"])
def test_a_form_holds_an_image_and_parameters(name: str) -> None:
    payload = v1(form_of(name, PNG, top_k="2"), FORM, "polarity=dark-on-light")
    assert [bytes(image) for image in payload.images] == [PNG]
    assert payload.options == ClassificationOptions(top_k=2, polarity=Polarity.DARK_ON_LIGHT)
    assert not payload.listed


def test_a_form_that_is_none_or_holds_no_image() -> None:
    assert refused(v1, PNG, FORM)[0] == 400
    status, _, _, message = refused(v1, form_of("picture", PNG), FORM)
    assert status == 422
    assert "no part 'file' or 'image', only 'picture'" in message
    status, _, _, message = refused(v1, form_of("x", b"1"), FORM)
    assert (status, "no part 'file' or 'image', only 'x'" in message) == (422, True)
    # Without its content type, too, the form's parts are named.
    status, _, _, message = refused(v1, form_of("file", PNG), None)
    assert (status, "a form needs the content type" in message) == (422, True)
    assert refused(v1, form_of("file", PNG, top_k="x"), FORM)[0] == 422
    assert refused(v1, form_of("file", PNG, nosuch="1"), FORM)[0] == 422


@pytest.mark.parametrize("body", [[], [B64], "text", 1, 1.5, None, True])
def test_a_body_must_be_an_object(body: object) -> None:
    status, code, index, message = refused(v1, body)
    assert (status, code, index) == (422, "invalid_request", None)
    assert "must be an object" in message


@pytest.mark.parametrize("instances", [None, 1, "text", {}, True, {"b64": B64}])
def test_instances_must_be_an_array(instances: object) -> None:
    status, code, index, message = refused(v1, {"instances": instances})
    assert (status, code, index) == (422, "invalid_request", None)
    assert "instances must be an array" in message


@pytest.mark.parametrize(
    ("instance", "kind"),
    [
        *((None, "null"), (1, "a number"), (0.5, "a number"), (True, "a boolean")),
        *(([B64], "numbers"), ([[1], [1, 2]], "length"), ([1, 2], "height × width")),
        *(([], "height × width"), ([[]], "height × width"), ([[[1] * 5] * 5] * 5, "height")),
    ],
)
def test_an_instance_must_be_an_object_or_a_string(instance: object, kind: str) -> None:
    status, code, index, message = refused(v1, {"instances": [B64, B64, instance]})
    assert (status, code, index) == (422, "invalid_request", 2)
    assert kind in message


@pytest.mark.parametrize("value", [None, 1, True, [B64], {}, {"b64": B64}])
@pytest.mark.parametrize("key", ["base64", "b64"])
def test_base64_must_be_a_string(key: str, value: object) -> None:
    status, code, index, message = refused(v1, {"instances": [{key: value}]})
    assert (status, code, index) == (422, "invalid_request", 0)
    assert message.startswith(f"{key} must be a base64 string")


@pytest.mark.parametrize("key", ["image", "image_bytes"])
@pytest.mark.parametrize(
    "value",
    [None, 1, [B64], {}, {"b64": 1}, {"b64": None}, {"b64": B64, "base64": B64}, {"url": "x"}],
)
def test_a_nested_image_must_hold_base64_alone(key: str, value: object) -> None:
    status, code, index, message = refused(v1, {"instances": [B64, {key: value}]})
    assert (status, code, index) == (422, "invalid_request", 1)
    assert key in message or "pixels must be numbers" in message


@pytest.mark.parametrize(
    "instance",
    [{}, {"b64": B64, "base64": B64}, {"b64": B64, "label": "7"}, {"url": "http://x"}, {"": B64}],
)
def test_an_instance_has_exactly_one_known_field(instance: dict[str, str]) -> None:
    assert refused(v1, {"instances": [B64, instance]})[:3] == (422, "invalid_request", 1)


def test_unknown_fields_are_named() -> None:
    assert "'label'" in refused(v1, {"instances": [{"label": 1}]})[3]
    status, code, _, message = refused(v1, {"instances": [B64], "signature_name": "x"})
    assert (status, code) == (422, "invalid_request")
    assert "'signature_name'" in message
    assert "'extra'" in refused(v1, {"base64": B64, "extra": 1})[3]
    assert "'tensors'" in refused(v2, {**v2_input([B64]), "tensors": []})[3]


@pytest.mark.parametrize("parameters", [[], "top_k", 1, True])
def test_parameters_must_be_an_object(parameters: object) -> None:
    status, _, _, message = refused(v1, {"instances": [B64], "parameters": parameters})
    assert status == 422
    assert "parameters must be an object" in message


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"topk": 1}, "'topk'"),
        ({"top_k": 0}, "top_k must be a positive integer"),
        ({"top_k": -1}, "top_k must be a positive integer"),
        ({"top_k": 1.0}, "top_k must be a positive integer"),
        ({"top_k": "1"}, "top_k must be a positive integer"),
        ({"top_k": True}, "top_k must be a positive integer"),
        ({"top_k": [1]}, "top_k must be a positive integer"),
        ({"polarity": "white"}, "light-on-dark"),
        ({"polarity": None}, "polarity must be one of"),
        ({"polarity": 1}, "polarity must be one of"),
        ({"polarity": ["auto"]}, "polarity must be one of"),
        ({"polarity": {}}, "polarity must be one of"),
        ({"shown": "yes"}, "shown must be true or false"),
        ({"shown": [True]}, "shown must be true or false"),
    ],
)
def test_wrong_parameters(parameters: dict[str, object], expected: str) -> None:
    status, code, index, message = refused(v1, {"instances": [B64], "parameters": parameters})
    assert (status, code, index) == (422, "invalid_request", None)
    assert expected in message


@pytest.mark.parametrize(
    "query",
    [
        *("top_k=0", "top_k=-1", "top_k=two", "top_k=", "top_k=1.0", "top_k=9999999", "top_k"),
        *(
            "polarity=x",
            "polarity=",
            "size=3",
            "=",
            "%ff=%ff",
            "top_k=1&debug=1",
            "shown=",
            "shown=2",
        ),
    ],
)
def test_wrong_query_options(query: str) -> None:
    assert refused(v1, {"base64": B64}, query=query)[:3] == (422, "invalid_request", None)
    assert refused(v1, PNG, "image/png", query)[:3] == (422, "invalid_request", None)
    assert refused(v2, v2_input([B64]), query=query)[:3] == (422, "invalid_request", None)


@pytest.mark.parametrize(
    "content_type",
    [
        *("multipart/mixed; boundary=x", "text/html"),
        *("video/mp4", "application/xml", "application/jsonp", "nonsense"),
    ],
)
def test_other_content_types_are_refused(content_type: str) -> None:
    for body in (PNG, json.dumps({"base64": B64}).encode()):
        status, code, _, message = refused(v1, body, content_type)
        assert (status, code) == (415, "unsupported_media_type")
        assert "image/…" in message


@pytest.mark.parametrize("kind", ["image/jpg", "image/tif", "image/x-png", "image/anything"])
def test_the_bytes_say_what_an_image_is(kind: str) -> None:
    assert v1(PNG, kind).images == [PNG]


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
def test_a_byte_order_mark_before_json_is_ignored(content_type: str | None) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"instances": [B64]}).encode()
    assert v1(body, content_type).images == [PNG]


def test_an_id_may_be_null() -> None:
    payload = v2({**v2_input([B64]), "id": None})
    assert payload.request is not None
    assert (payload.images, payload.request.id) == ([PNG], "")


GREY = np.asarray(seven())


@pytest.mark.parametrize("key", ["data", "image", "image_bytes", None])
def test_nested_arrays_are_pixels(random: np.random.Generator, key: str | None) -> None:
    colour = noise(random, 5, 7, 3)
    for pixels in (GREY, colour, noise(random, 5, 7, 4)):
        rows = pixels.tolist()
        payload = v1({"instances": [rows if key is None else {key: rows}]})
        assert (np.asarray(Image.open(io.BytesIO(payload.images[0]))) == pixels).all()
    for rows in (np.moveaxis(colour, 2, 0).tolist(), [[[v] for v in row] for row in GREY.tolist()]):
        (data,) = v1({"instances": [rows]}).images
        assert np.asarray(Image.open(io.BytesIO(data))).shape in (colour.shape, GREY.shape)


def test_numbers_within_0_and_1_are_shares_of_full_intensity() -> None:
    for rows in ((GREY / 255).tolist(), (GREY // 255).tolist(), (GREY > 0).tolist()):
        (data,) = v1({"instances": [rows]}).images
        found = np.asarray(Image.open(io.BytesIO(data)))
        assert np.abs(found - GREY / 255).max() < 1e-6


@pytest.mark.parametrize("datatype", ["UINT8", "FP32", "INT64", "FP64"])
@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 1, 28, 28), (2, 28, 28, 1)])
def test_v2_tensors_are_pixels(datatype: str, shape: tuple[int, ...]) -> None:
    batch = np.stack([GREY, 255 - GREY]).reshape(shape)
    blob = batch.astype(NUMPY_TYPES[datatype]).tobytes()
    tensor = {"name": "image", "datatype": datatype, "shape": list(shape)}
    sent = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(blob)}}]}
    spoken = {"inputs": [{**tensor, "data": batch.ravel().tolist()}]}
    for payload in (v2(sent, blob), v2(spoken)):
        for data, pixels in zip(payload.images, (GREY, 255 - GREY), strict=True):
            assert (np.asarray(Image.open(io.BytesIO(data))) == pixels).all()


@pytest.mark.parametrize("shape", [[784], [28, 28], [1, 784], [28, 28, 3], [1, 1, 1, 28, 28], [0]])
def test_v2_tensors_of_another_shape_are_refused(shape: list[int]) -> None:
    data = [0] * int(np.prod(shape))
    status, code, _, message = refused(v2, v2_input(data, shape=shape, datatype="UINT8"))
    assert (status, code) == (422, "invalid_request")
    assert "[n, height, width" in message


@pytest.mark.parametrize("full", [1.0, 255.0, 4095.0])
def test_colours_in_floats_become_bytes(random: np.random.Generator, full: float) -> None:
    colour = noise(random, 5, 7, 3)
    colour[0, 0] = 255
    values = (colour / 255 * full).astype(np.float32)
    tensor = v2_input(values.ravel().tolist(), shape=[1, 5, 7, 3], datatype="FP32")
    for payload in (v1({"instances": [values.tolist()]}), v2(tensor)):
        found = np.asarray(Image.open(io.BytesIO(payload.images[0])), int)
        assert np.abs(found - colour).max() <= 1


def test_too_many_pixels_as_numbers_are_refused_before_they_are_parsed() -> None:
    body = b'{"instances":[[' + b"0," * (2 << 20) + b"0]]}"
    assert refused(v1, body)[:2] == (413, "too_many_values")
    tensor = v2_input([0] * 5 * 784, shape=[LIMIT + 1, 28, 28], datatype="UINT8")
    assert refused(v2, tensor)[:2] == (413, "too_many_instances")


def test_an_empty_image_body() -> None:
    assert refused(v1, b"", "image/png")[:3] == (400, "malformed_request", None)


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({}, 422),
        ({"inputs": []}, 422),
        ({"inputs": {}}, 422),
        ({"inputs": [1]}, 422),
        ({"inputs": [*v2_input([B64])["inputs"]] * 2}, 422),
        (v2_input([B64], datatype="FP32"), 422),
        (v2_input([B64], datatype=None), 422),
        (v2_input([B64], shape=[2]), 422),
        (v2_input([B64], shape=[-1]), 422),
        (v2_input([B64], shape=["1"]), 422),
        (v2_input([B64], shape=1), 422),
        (v2_input([B64], name=1), 422),
        (v2_input([1]), 422),
        (v2_input([None]), 422),
        (v2_input([B64], data="text"), 422),
        (v2_input([B64], data=None), 422),
        (v2_input([B64], parameters={"binary_data_size": 3}), 422),
        ({**v2_input([B64]), "parameters": {"top_k": 0}}, 422),
        ({**v2_input([B64]), "parameters": {"polarity": "x"}}, 422),
        ({**v2_input([B64]), "parameters": []}, 422),
        ({**v2_input([B64]), "id": 1}, 422),
        ({**v2_input([B64]), "outputs": {}}, 422),
        ({**v2_input([B64]), "outputs": [{}]}, 422),
    ],
)
def test_v2_documents_of_the_wrong_shape(document: object, status: int) -> None:
    assert refused(v2, document)[0] == status


def test_v2_binary_lengths_must_add_up() -> None:
    head, blob = v2_binary([PNG])
    assert refused(v2, head, blob[:-1])[0] == 400
    assert refused(v2, head, blob + b"x")[0] == 400
    head["inputs"][0]["parameters"]["binary_data_size"] = 3
    assert refused(v2, head, b"\x01\x00\x00")[0] == 400
    head["inputs"][0]["parameters"]["binary_data_size"] = 6
    assert refused(v2, head, b"\xff\xff\xff\xffab")[0] == 400


def test_v2_elements_at_fault_are_named() -> None:
    head, blob = v2_binary([PNG, b"\xfe\xff not an image"])
    assert refused(v2, head, blob)[:3] == (415, "not_an_image", 1)
    head, blob = v2_binary([PNG, PNG, b"!!!"])
    assert refused(v2, head, blob)[:3] == (400, "invalid_base64", 2)
