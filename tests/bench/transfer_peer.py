"""Clients in Python, as the benchmark of transfers drives them.

Obeys commands on standard input and answers each with a line of numbers, as
support.h says: connect ADDRESS BYTES; upload; download; download_new; verify.
"""

import pathlib
import sys
import time

import numpy as np


class Tensord:
    """The package tensord, from and to NumPy arrays."""

    def __init__(self, address, array):
        import tensord
        self.client = tensord.connect(address, max_connections=1)
        self.array = array
        self.result = np.ones_like(array)
        self.tensor = None

    def upload(self):
        self.tensor = None
        begin = time.perf_counter()
        self.tensor = self.client.from_numpy(self.array)
        return time.perf_counter() - begin

    def download(self):
        begin = time.perf_counter()
        self.tensor.numpy(out=self.result)
        return time.perf_counter() - begin

    def download_new(self):
        """Into an array that is made for it."""
        self.result = None
        begin = time.perf_counter()
        result = self.tensor.numpy()
        seconds = time.perf_counter() - begin
        self.result = result
        return seconds


class Stub:
    """What protoc and grpcio make of the proto file, with `bytes`."""

    CHUNK_BYTES = 1 << 20

    def __init__(self, address, array):
        import grpc
        sys.path.append(str(pathlib.Path(__file__).parents[1] / "wire"))
        from wire_stubs import pb, pb_grpc
        self.pb = pb
        self.stub = pb_grpc.TensorServiceStub(grpc.insecure_channel(address))
        self.array = array
        self.result = None
        self.name = None

    def _requests(self):
        declaration = self.pb.UploadDeclaration(
            array=self.pb.ArrayDeclaration(
                raw=self.pb.ArraySpec(dtype=self.pb.DTYPE_FLOAT32,
                                      shape=self.array.shape),
                total_bytes=self.array.nbytes))
        yield self.pb.UploadTensorRequest(declaration=declaration)
        count = self.CHUNK_BYTES // self.array.itemsize
        for begin in range(0, self.array.size, count):
            yield self.pb.UploadTensorRequest(chunk=self.pb.Chunk(
                offset=begin * self.array.itemsize,
                data=self.array[begin:begin + count].tobytes()))
        yield self.pb.UploadTensorRequest(finish=True)

    def upload(self):
        if self.name is not None:
            self.stub.DeleteTensor(
                self.pb.DeleteTensorRequest(name=self.name))
        begin = time.perf_counter()
        self.name = self.stub.UploadTensor(self._requests()).name
        return time.perf_counter() - begin

    def download(self):
        begin = time.perf_counter()
        answers = self.stub.DownloadTensor(
            self.pb.DownloadTensorRequest(name=self.name))
        data = b"".join(answer.chunk.data for answer in answers)
        self.result = np.frombuffer(data, np.float32)
        return time.perf_counter() - begin


class Flight:
    """pyarrow's, with one column; the result stays in Arrow's batches."""

    # As flight.cc has it.
    BATCH_ELEMENTS = 1 << 18

    def __init__(self, address, array):
        import pyarrow
        import pyarrow.flight
        self.flight = pyarrow.flight
        self.client = pyarrow.flight.connect("grpc://" + address)
        schema = pyarrow.schema(
            [pyarrow.field("data", pyarrow.float32(), nullable=False)])
        self.table = pyarrow.Table.from_arrays([pyarrow.array(array)],
                                               schema=schema)
        self.got = None

    def upload(self):
        begin = time.perf_counter()
        writer, _ = self.client.do_put(
            self.flight.FlightDescriptor.for_path("tensor"), self.table.schema)
        writer.write_table(self.table, max_chunksize=self.BATCH_ELEMENTS)
        writer.close()
        return time.perf_counter() - begin

    def download(self):
        begin = time.perf_counter()
        self.got = self.client.do_get(
            self.flight.Ticket(b"tensor")).read_all()
        return time.perf_counter() - begin

    @property
    def result(self):
        return self.got.column(0).to_numpy()


CLIENTS = {"tensord": Tensord, "stub": Stub, "flight": Flight}


def main():
    make = CLIENTS[sys.argv[1]]
    client = array = None
    for line in sys.stdin:
        command, *arguments = line.split()
        answer = ""
        if command == "connect":
            count = int(arguments[1]) // 4
            array = np.random.default_rng(1).random(count, np.float32)
            client = make(arguments[0], array)
        elif command == "verify":
            client.upload()
            client.download()
            if not np.array_equal(client.result, array):
                raise SystemExit("other values came back")
        else:
            answer = getattr(client, command)()
        print(answer, flush=True)


if __name__ == "__main__":
    main()
