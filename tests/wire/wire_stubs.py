"""Stock Python stubs of our proto files, generated when this is imported.

`pb` has the messages, `pb_grpc` the stub, `admin_pb` and `admin_pb_grpc` those
of the service for operators; nothing here knows of the project's
own clients.
"""

import importlib
import pathlib
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_PROTO_FOLDER = REPOSITORY / "proto" / "tensord" / "v1"
_WELL_KNOWN = pathlib.Path(grpc_tools.__file__).parent / "_proto"

# Lives as long as the process.
_folder = tempfile.TemporaryDirectory(prefix="tensord-stubs-")


def _generate():
    # Compiled from its own folder: the modules are called `tensord_pb2`, and do
    # not hide, or hide behind, the package `tensord` of the Python client.
    status = protoc.main([
        "protoc",
        f"--proto_path={_PROTO_FOLDER}",
        f"--proto_path={_WELL_KNOWN}",
        f"--python_out={_folder.name}",
        f"--grpc_python_out={_folder.name}",
        "tensord.proto", "admin.proto",
    ])
    if status != 0:
        raise RuntimeError(f"protoc failed with status {status}")
    sys.path.insert(0, _folder.name)
    try:
        return [importlib.import_module(name) for name in (
            "tensord_pb2", "tensord_pb2_grpc", "admin_pb2", "admin_pb2_grpc")]
    finally:
        sys.path.remove(_folder.name)


pb, pb_grpc, admin_pb, admin_pb_grpc = _generate()
